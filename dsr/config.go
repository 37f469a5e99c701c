package dsr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/penlb/pen/dsr/wire"
)

// Limits. They bound memory and the time that a change takes.
const (
	MaxVIPs    = 256
	MaxServers = 4096 // with room for those that left but still have connections
)

// Protocol is a set of transport protocols.
type Protocol uint8

// The protocols that can be forwarded.
const (
	TCP Protocol = 1 << iota
	UDP
	Both = TCP | UDP
)

// VIP is an address, or a part of it, that is forwarded.
type VIP struct {
	Addr  netip.Addr
	Port  uint16 // 0: all ports, and pings
	Proto Protocol
}

func (v VIP) String() string {
	s := v.Addr.String()
	if v.Port != 0 {
		s = netip.AddrPortFrom(v.Addr, v.Port).String()
	}
	switch v.Proto {
	case TCP:
		return s + "/tcp"
	case UDP:
		return s + "/udp"
	}
	return s
}

// ParseVIP reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT, and /tcp or /udp behind it; def holds where neither is there.
// An IPv6 address with a port needs its brackets.
func ParseVIP(s string, def Protocol) (VIP, error) {
	place, proto, given := strings.Cut(s, "/")
	v := VIP{Proto: def}
	switch {
	case !given:
	case proto == "tcp":
		v.Proto = TCP
	case proto == "udp":
		v.Proto = UDP
	default:
		return VIP{}, fmt.Errorf("virtual address %s: protocol %q: want tcp or udp", s, proto)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(place, "["), "]")
	if a, err := netip.ParseAddr(bare); err == nil {
		v.Addr = a.Unmap()
		return v, nil
	}
	ap, err := netip.ParseAddrPort(place)
	if err != nil || ap.Port() == 0 {
		return VIP{}, fmt.Errorf("virtual address %s: want an IP address, with a port behind a colon or without", s)
	}
	v.Addr, v.Port = ap.Addr().Unmap(), ap.Port()
	return v, nil
}

// Server is one that new clients may be given to.
type Server struct {
	Addr   netip.Addr
	Weight int // share of the clients; less than 1 counts as 1, as in pen
	ID     int // whatever the caller knows it by; for Stats
	// Tunnel: the server is beyond a router, and gets each packet in one to its own address, which may be of the other
	// family (IPIP, IP6IP6; RFC 2003, 2473, 4213). The kernel's routing tells which router of the link that is.
	Tunnel bool
}

// Config is what the user wants. The zero Config forwards nothing.
type Config struct {
	VIPs    []VIP
	Servers []Server
	// HashPort spreads the connections of one client over the servers; else they all go to one.
	HashPort bool
	// Sources are the networks from which the outer packets of tunnels seem to come: see Sources.
	Sources Sources
	// Permit tells whether new flows of a client may pass; nil: all. It is called by every thread, on the hot path: it
	// must neither block nor allocate.
	Permit func(client netip.Addr) bool
	// Tarpit tells whether an address that nobody else answers for is one to lure intruders to; nil: none. Called as
	// Permit.
	Tarpit func(target netip.Addr) bool
	// Tarpit6 has Tarpit asked about IPv6 addresses, too. It takes all multicast of the link for that.
	Tarpit6 bool
}

// check returns what is wrong with c.
func (c *Config) check() error {
	if len(c.VIPs) > MaxVIPs {
		return fmt.Errorf("%d virtual addresses: at most %d", len(c.VIPs), MaxVIPs)
	}
	if len(c.Servers) > MaxServers/2 {
		return fmt.Errorf("%d servers: at most %d", len(c.Servers), MaxServers/2)
	}
	if err := c.Sources.check(); err != nil {
		return err
	}
	for _, v := range c.VIPs {
		if !v.Addr.IsValid() || v.Addr.IsUnspecified() || v.Addr.IsMulticast() || v.Addr.IsLoopback() {
			return fmt.Errorf("%v: a virtual address is one that clients can reach", v.Addr)
		}
		if v.Proto&Both == 0 {
			return fmt.Errorf("%v: no protocol", v.Addr)
		}
		if slices.ContainsFunc(c.Servers, func(s Server) bool { return s.Addr.Unmap() == v.Addr.Unmap() }) {
			return fmt.Errorf("%v is a server and a virtual address", v.Addr)
		}
	}
	return nil
}

// errTooMany means that all server numbers are taken, some by servers that left and still have connections.
var errTooMany = errors.New("too many servers, those that left and still have connections counted in")

// vipKey is what a packet is looked up by: 20 bytes without padding of the compiler. Port 0 stands for all ports, and
// protocol anyOf for the address itself.
type vipKey struct {
	Addr  wire.Addr
	Port  uint16
	Proto uint8
	_     uint8
}

// anyOf is the protocol number, unused by IP, of the key that every VIP has once per address.
const anyOf = 255

// vipTable maps keys to positions in Config.VIPs.
func vipTable(vips []VIP) map[vipKey]uint32 {
	m := make(map[vipKey]uint32, 3*len(vips))
	put := func(k vipKey, i int) {
		if _, ok := m[k]; !ok { // the first of two equal ones counts
			m[k] = uint32(i)
		}
	}
	for i, v := range vips {
		a := wire.AddrFrom(v.Addr)
		put(vipKey{Addr: a, Proto: anyOf}, i)
		if v.Proto&TCP != 0 {
			put(vipKey{Addr: a, Port: v.Port, Proto: wire.ProtoTCP}, i)
		}
		if v.Proto&UDP != 0 {
			put(vipKey{Addr: a, Port: v.Port, Proto: wire.ProtoUDP}, i)
		}
	}
	return m
}
