// Package dsr is direct server return: it takes the frames that clients send to a virtual address (VIP) off an
// interface and hands each to a server of the same link by its Ethernet address alone. Server and client then talk
// past us: what the server sends never comes here.
//
//	           frame to VIP                  same frame, to the server's MAC
//	client ──────────────────► dsr ─────────────────────────────────────────► server, VIP on its loopback
//	   ▲                                                                          │
//	   └──────────────────────────────────────────────────────────────────────────┘
//
// The VIP belongs to no interface here; we answer ARP and neighbour solicitations for it. The servers have it on their
// loopback, do not answer for it, and serve on the same port. TCP, UDP, or both; IPv4 and IPv6.
//
// # Parts
//
//   - [Forwarder] turns a frame into the frame to send: a pure function of the frame, the time given, and tables that
//     are swapped as a whole. No I/O, no allocation.
//   - The choice of a server is Maglev (Eisenbud et al., NSDI 2016): a table of 65,537 slots made from the addresses
//     and weights of the servers with fixed keys, so that several machines choose alike, and a change of the set
//     disturbs few clients. The flows that we know are remembered beside it, in bounded memory, and stay where they
//     are when the set changes.
//   - [Engine] joins a Forwarder per thread with packet sockets, asks the servers for their Ethernet addresses, notices
//     when one does not answer any more, and counts.
//   - Where it can be loaded, a program in the kernel forwards in the place of the threads (bpf/dsr.c, [Mode]): by the
//     same tables, with the same result for every frame, at a fraction of the cost. What it does not forward or drop
//     goes on to the threads, as does everything while an access list has to be asked. Package bpf has it compiled.
//   - A server may be beyond a router ([Server].Tunnel). It gets packets in packets, which are sent to the router that
//     the kernel's routing names. Packets that are too big for that are answered by the threads, whoever forwards.
//
// # Tables
//
// Both executors work from one description: arrays and maps of fixed-size keys and values without pointers.
//
//	VIPs     hash   {address [16]byte, port u16, protocol u8, pad u8}  → VIP number u32, see vipKey
//	slots    array  [65537] u16                                        → server number, 0xffff none
//	servers  array  {MAC [6]byte, flags u8, …, address [16]byte}       see target
//	flows    LRU    flowKey (40 bytes)                                 → {server u16, generation u32}
//
// An address is 16 bytes in network order, an IPv4 one as ::ffff:a.b.c.d; ports are in host order.
//
// pen: one table of 256 slots, made once, from the sum of four octets; IPv4 only; broken by segmentation offload.
package dsr
