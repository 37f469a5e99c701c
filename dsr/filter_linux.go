package dsr

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
)

// Classic BPF, which every packet socket has: whatever is not for us is not copied, nor is the thread woken. See
// Documentation/networking/filter.rst.

// handMark is the mark of a frame that the program in the kernel leaves to us: MARK in bpf/dsr.c.
const handMark = 0x70656e21

// nothing takes no frame.
var nothing = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}

const (
	takeAll = 0x40000         // more than any frame has
	ancVLAN = 0xfffff000 + 48 // SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
	ancMark = 0xfffff000 + 20 // SKF_AD_OFF + SKF_AD_MARK
	ld32    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	ld16    = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	ld8     = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	ld8x    = unix.BPF_LD | unix.BPF_B | unix.BPF_IND
	ldxIHL  = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH
	and     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	jumpEq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jump    = unix.BPF_JMP | unix.BPF_JA
	ret     = unix.BPF_RET | unix.BPF_K
)

// filter takes ARP, neighbour discovery, and, if asked for, what goes to the VIPs; with a tarpit also every other SYN. Frames whose VLAN tag
// the kernel has taken off belong to another network: the interface of that VLAN is the one to use.
func filter(vips []VIP, forward, tarpit, tarpit6 bool) ([]unix.SockFilter, error) {
	var four, six []unix.SockFilter
	take := unix.SockFilter{Code: ret, K: takeAll}
	drop := unix.SockFilter{Code: ret}
	load := func(code uint16, at int) unix.SockFilter {
		return unix.SockFilter{Code: code, K: uint32(wire.EthernetLen + at)}
	}
	toVIP := drop
	if forward {
		toVIP = take
	}
	// Nobody forwards SCTP; and the kernel gives up a slot of the ring for ever over a segment of it that is left to the
	// network card to cut, for which struct virtio_net_hdr has no name (tpacket_rcv in net/packet/af_packet.c).
	four = append(four, load(ld8, 9), unix.SockFilter{Code: jumpEq, Jf: 1, K: unix.IPPROTO_SCTP}, drop, load(ld32, 16))
	six = append(six, load(ld8, 6), unix.SockFilter{Code: jumpEq, Jf: 1, K: unix.IPPROTO_SCTP}, drop)
	seen := map[wire.Addr]bool{}
	for _, v := range vips {
		a := wire.AddrFrom(v.Addr)
		if seen[a] {
			continue
		}
		seen[a] = true
		if a.Is4() {
			four = append(four, unix.SockFilter{Code: jumpEq, Jf: 1, K: binary.BigEndian.Uint32(a[12:])}, toVIP)
			continue
		}
		if !forward {
			continue // neighbour discovery that is sent to the address alone is taken all the same
		}
		for i := range 4 {
			// To the next address, behind what is left of this one: two instructions per word, and take.
			six = append(six, load(ld32, 24+4*i),
				unix.SockFilter{Code: jumpEq, Jf: uint8(2*(3-i) + 1), K: binary.BigEndian.Uint32(a[4*i:])})
		}
		six = append(six, take)
	}
	if tarpit {
		four = append(four,
			load(ld8, 9), unix.SockFilter{Code: jumpEq, Jf: 4, K: wire.ProtoTCP},
			load(ldxIHL, 0), load(ld8x, 13), unix.SockFilter{Code: and, K: wire.FlagSYN | wire.FlagACK},
			unix.SockFilter{Code: jumpEq, Jf: 0, Jt: 1, K: wire.FlagSYN}, drop, take)
	}
	four = append(four, drop)
	if tarpit && tarpit6 {
		six = append(six,
			load(ld8, 6), unix.SockFilter{Code: jumpEq, Jf: 5, K: wire.ProtoTCP},
			load(ld8, wire.IPv6Len+13), unix.SockFilter{Code: and, K: wire.FlagSYN | wire.FlagACK},
			unix.SockFilter{Code: jumpEq, Jt: 1, K: wire.FlagSYN}, drop, take)
	}
	six = append(six,
		load(ld8, 6), unix.SockFilter{Code: jumpEq, Jf: 4, K: wire.ProtoICMPv6},
		load(ld8, wire.IPv6Len), unix.SockFilter{Code: jumpEq, Jt: 1, K: wire.ICMPv6Solicit},
		unix.SockFilter{Code: jumpEq, Jf: 1, K: wire.ICMPv6Advertise}, take,
		drop)
	prog := []unix.SockFilter{
		{Code: ld32, K: ancMark},
		{Code: jumpEq, Jf: 1, K: handMark},
		take,
		{Code: ld32, K: ancVLAN},
		{Code: jumpEq, Jf: 6},
		{Code: ld16, K: 12},
		{Code: jumpEq, Jf: 1, K: wire.TypeARP},
		take,
		{Code: jumpEq, Jf: 1, K: wire.TypeIPv6},
		{Code: jump, K: uint32(2 + len(four))},
		{Code: jumpEq, Jt: 1, K: wire.TypeIPv4},
		drop,
	}
	prog = append(append(prog, four...), six...)
	if len(prog) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("%d virtual addresses are more than a filter can tell apart", len(vips))
	}
	return prog, nil
}

// attach makes prog the filter of fd, at once and for all frames to come.
func attach(fd int, prog []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	return os.NewSyscallError("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &p))
}

func (k *worker) setFilter(prog []unix.SockFilter) error { return attach(k.fd, prog) }
