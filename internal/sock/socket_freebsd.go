package sock

import "golang.org/x/sys/unix"

// reusePort is SO_REUSEPORT_LB: SO_REUSEPORT here lets the last listener take all connections. FreeBSD 12.
const reusePort = unix.SO_REUSEPORT_LB

func setCongestion(fd int, name string) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
}
