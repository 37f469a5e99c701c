package sock

import "net/netip"

// TryTransparent is nil if sockets of this process may be bound to addresses of other machines, for the family of
// IPv6 if six.
func TryTransparent(six bool) error {
	lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if six {
		lo = netip.IPv6Loopback()
	}
	l, err := ListenDatagram(&DatagramOptions{Bind: netip.AddrPortFrom(lo, 0), Transparent: true})
	if err != nil {
		return err
	}
	return l.Close()
}
