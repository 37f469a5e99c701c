package sock

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strconv"
)

// Endpoint is an IP address and port without pointers, so that tables of sockets cost the garbage collector nothing.
// The zero Endpoint is none, which is also what a Unix socket has. Endpoints may be compared.
type Endpoint struct {
	ip   [16]byte
	zone uint32 // scope of a link-local address: the number of its interface
	port uint16
	bits uint8 // 0: none, 32: IPv4, 128: IPv6
}

// EndpointOf packs a. An IPv4 address mapped into IPv6 is unmapped; a zone that is not a number is dropped.
func EndpointOf(a netip.AddrPort) Endpoint {
	ip := a.Addr().Unmap()
	switch {
	case !ip.IsValid():
		return Endpoint{}
	case ip.Is4():
		return endpoint4(ip.As4(), a.Port())
	}
	e := Endpoint{ip: ip.As16(), port: a.Port(), bits: 128}
	if z, err := strconv.ParseUint(ip.Zone(), 10, 32); err == nil {
		e.zone = uint32(z)
	}
	return e
}

// AddrPort unpacks e. It allocates only for an address with a zone, which is given as the number of its interface.
func (e *Endpoint) AddrPort() netip.AddrPort {
	switch e.bits {
	case 0:
		return netip.AddrPort{}
	case 32:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(e.ip[12:])), e.port)
	}
	ip := netip.AddrFrom16(e.ip)
	if e.zone != 0 {
		ip = ip.WithZone(strconv.FormatUint(uint64(e.zone), 10))
	}
	return netip.AddrPortFrom(ip, e.port)
}

func endpoint4(ip [4]byte, port uint16) Endpoint {
	e := Endpoint{port: port, bits: 32}
	copy(e.ip[12:], ip[:])
	return e
}

func endpoint6(ip [16]byte, zone uint32, port uint16) Endpoint {
	mapped := [12]byte{10: 0xff, 11: 0xff}
	if [12]byte(ip[:12]) == mapped {
		return endpoint4([4]byte(ip[12:]), port)
	}
	return Endpoint{ip: ip, zone: zone, port: port, bits: 128}
}

// IsValid reports whether e is an address.
func (e *Endpoint) IsValid() bool { return e.bits != 0 }

// Hash is a keyed hash of e: nobody who does not know the seed can choose addresses that collide.
func (e *Endpoint) Hash(seed maphash.Seed) uint64 {
	var b [22]byte
	copy(b[:], e.ip[:])
	binary.NativeEndian.PutUint32(b[16:], e.zone)
	binary.NativeEndian.PutUint16(b[20:], e.port)
	return maphash.Bytes(seed, b[:])
}
