package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// SetTransparent lets fd, a socket of IPv6 if six, be bound to an address of another machine (IP_TRANSPARENT in ip(7),
// IPV6_TRANSPARENT). EPERM without CAP_NET_RAW or CAP_NET_ADMIN.
func SetTransparent(fd int, six bool) error {
	if e := setTransparent(fd, six); e != 0 {
		return e
	}
	return nil
}

func setTransparent(fd int, six bool) syscall.Errno {
	if six {
		return setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return setInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
}
