// Package datagram is the UDP session: receive, find or select a server, forward, send the answers back, forget. It
// joins the mechanism (ring) to the policy (balance, client, acl), as package proxy does for TCP.
//
//	client ──► listener ──► session? ──► up-socket ──► server
//	              ▲            │ none: client, access list, Pick
//	              │            ▼
//	              └──────── session by (up-socket, server) ◄── answer
//
// A session is a client's address and port, on a listener and, where that is bound to the wildcard, the address that
// the client wrote to. It begins with a datagram and ends when nothing has passed for udp_timeout, after udp_responses
// answers to each of its datagrams, or when it is the least recently used one and room is needed: UDP has nobody to refuse, so a new client
// always gets in.
//
// Up-sockets are bound to the address that leads to the server, and not connected: each serves one session per server,
// and an answer finds its session by the socket that it came to and the address that it came from. Anything else that
// comes is a stray, counted and dropped. So sessions need a descriptor for each, divided by the number of servers, and
// ports of one address only (connect(2) without bind(2) would take from those that all sockets of the machine share).
// A pair of socket and server that a session gives back is used again as late as possible, for the sake of late
// answers. With udp_connected each session has a connected socket of its own.
//
// A [Proxy] is the service over all loops; a [Worker] is its part on one loop, with a listener of its own, and belongs
// to that loop's goroutine. Its sessions lie in a slab without pointers.
//
// A server is blacklisted when the network says that it cannot be reached (ICMP, by IP_RECVERR), and with
// udp_reply_timeout also if nobody has had an answer from it for that time; but never the last one that is left. The
// sessions of a blacklisted server move with the next datagram of their clients.
package datagram
