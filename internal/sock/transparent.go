package sock

import (
	"errors"
	"net/netip"
	"syscall"
)

// TryTransparent is nil if sockets of this process may be bound to addresses of other machines, for the family of
// IPv6 if six.
func TryTransparent(six bool) error {
	lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if six {
		lo = netip.IPv6Loopback()
	}
	l, err := ListenDatagram(&DatagramOptions{Bind: netip.AddrPortFrom(lo, 0), Transparent: true})
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e // the address means nothing to anybody
	} else if err != nil {
		return err
	}
	return l.Close()
}
