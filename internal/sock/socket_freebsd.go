package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort is SO_REUSEPORT_LB: SO_REUSEPORT here lets the last listener take all connections. FreeBSD 12.
const reusePort = unix.SO_REUSEPORT_LB

func setCongestion(fd int, name string) syscall.Errno {
	return errno(unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name))
}
