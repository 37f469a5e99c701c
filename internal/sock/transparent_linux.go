package sock

import "golang.org/x/sys/unix"

// SetTransparent lets fd, a socket of IPv6 if six, be bound to an address of another machine (IP_TRANSPARENT in ip(7),
// IPV6_TRANSPARENT). EPERM without CAP_NET_RAW or CAP_NET_ADMIN.
func SetTransparent(fd int, six bool) error {
	level, name := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if six {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	if e := setInt(fd, level, name, 1); e != 0 {
		return e
	}
	return nil
}
