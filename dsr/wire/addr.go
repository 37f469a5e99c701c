package wire

import (
	"net/netip"
	"strings"
)

// Addr is an IP address in network order, an IPv4 address as ::ffff:a.b.c.d. The zero Addr is no address of a host.
type Addr [16]byte

// AddrFrom converts a, without its zone. An invalid address is the zero Addr.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return a.As16()
}

// AddrFrom4 is the IPv4 address in the first 4 bytes of b.
func AddrFrom4(b []byte) Addr {
	return Addr{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
}

// Is4 reports whether a is an IPv4 address.
func (a *Addr) Is4() bool {
	return [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// Bytes are the 4 or 16 bytes of a as they stand in a header; they are part of a.
func (a *Addr) Bytes() []byte {
	if a.Is4() {
		return a[12:]
	}
	return a[:]
}

// Unspecified reports whether a is 0.0.0.0, :: or the zero Addr.
func (a *Addr) Unspecified() bool { return *a == Addr{} || *a == Addr{10: 0xff, 11: 0xff} }

// Multicast reports whether a is a group.
func (a *Addr) Multicast() bool {
	if a.Is4() {
		return a[12] >= 224 // broadcast, too
	}
	return a[0] == 0xff
}

// Netip is a for the rest of the world.
func (a *Addr) Netip() netip.Addr { return netip.AddrFrom16(*a).Unmap() }

func (a Addr) String() string { return a.Netip().String() }

// SolicitedNode is the multicast group in which a is asked for (RFC 4291, 2.7.1).
func (a *Addr) SolicitedNode() Addr {
	return Addr{0xff, 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
}

// AllNodes is the multicast group of everybody on the link.
var AllNodes = Addr{0xff, 0x02, 15: 1}

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is everybody's address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Group reports whether m is a multicast or broadcast address.
func (m MAC) Group() bool { return m[0]&1 != 0 }

// MulticastMAC is where frames to the multicast address a go (RFC 2464, 7).
func MulticastMAC(a *Addr) MAC { return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]} }

func (m MAC) String() string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i, x := range m {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteByte(digits[x>>4])
		b.WriteByte(digits[x&15])
	}
	return b.String()
}
