package sock

import (
	"net"
	"net/netip"
	"strconv"
)

// Addr is where a stream or datagram socket listens or connects: an IP address and port, or the path of a Unix
// socket. The zero Addr is nowhere.
type Addr struct {
	AddrPort netip.AddrPort
	Path     string // not empty: a Unix socket
}

// IsUnix reports whether a is the path of a Unix socket.
func (a *Addr) IsUnix() bool { return a.Path != "" }

// IsValid reports whether a is somewhere.
func (a *Addr) IsValid() bool { return a.Path != "" || a.AddrPort.IsValid() }

// Network is the name that package net gives to the kind of stream socket: "tcp4", "tcp6" or "unix".
func (a *Addr) Network() string {
	switch {
	case a.IsUnix():
		return "unix"
	case a.AddrPort.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// String is host:port with brackets around IPv6, or the path.
func (a *Addr) String() string {
	if a.IsUnix() {
		return a.Path
	}
	return net.JoinHostPort(a.AddrPort.Addr().String(), strconv.Itoa(int(a.AddrPort.Port())))
}

// Options prepare a socket before it connects. The zero value, and nil, mean the system's defaults.
type Options struct {
	// Bind is the local address to connect from; an invalid one leaves the choice to the kernel. With port 0 the
	// port is chosen at connect time (IP_BIND_ADDRESS_NO_PORT), so that many connections share an address.
	// It is ignored where its family differs from the destination's.
	Bind netip.AddrPort
	// Transparent lets Bind be an address of another machine, see [SetTransparent].
	Transparent bool
	// NoDelay sets TCP_NODELAY.
	NoDelay bool
	// Congestion names the congestion control of TCP (TCP_CONGESTION, Linux and FreeBSD); empty: the system's, as
	// is one that TryCongestion would not take.
	Congestion string
}
