package sock

import "golang.org/x/sys/unix"

// SetTransparent lets fd, a socket of IPv6 if six, be bound to an address of another machine (IP_BINDANY in ip(4),
// IPV6_BINDANY in ip6(4)). EPERM for anybody but root.
func SetTransparent(fd int, six bool) error {
	if six {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_BINDANY, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BINDANY, 1)
}
