// Package wire reads and writes the headers of frames where they lie: Ethernet with 802.1Q tags, ARP, IPv4, IPv6 with
// its extension headers, ICMP, neighbour discovery, TCP and UDP.
//
// [Decode] checks a frame once and notes where its headers begin. The header types are slices of the frame itself;
// their methods need as many bytes as the type says, which Decode or the type's constructor has made sure of. Nothing
// here allocates, keeps what it was given, or panics on what a peer has sent.
//
// An [Addr] is always 16 bytes, an IPv4 address in its mapped form, so that one kind of key serves both families.
//
// Sources: IEEE 802.3 and 802.1Q, RFC 826 (ARP), 791 (IPv4), 8200 (IPv6), 792 and 4443 (ICMP), 4861 (ND), 9293 (TCP),
// 768 (UDP), 1071 and 1624 (checksums).
package wire
