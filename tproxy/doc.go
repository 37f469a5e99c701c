// Package tproxy speaks to servers from the addresses of clients.
//
//	client C ── C:1234 → V:80 ──► pen ── C:50321 → S:80 ──► server S
//	client C ◄── V:80 → C:1234 ── pen ◄── S:80 → C:50321 ──── server S
//
// The socket towards the server is bound to the client's address (IP_TRANSPARENT in ip(7)); its port is any one that is
// free, since the client's own may be in use by a connection that does not pass here. [Face] decides from which address
// to speak, and counts.
//
// The server answers to the client. So its way to the client has to lead through this machine, and what arrives here
// for an address of another machine, but belongs to a socket of ours, has to be delivered instead of forwarded. That is
// what a [Plan] tells the kernel: mark such packets (the socket expression of nft(8), Linux 4.18), and route what is
// marked to the machine itself. See Documentation/networking/tproxy.rst of Linux.
package tproxy
