//go:build darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// endpoint packs what package unix yields.
func endpoint(sa unix.Sockaddr) Endpoint {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return endpoint4(sa.Addr, uint16(sa.Port))
	case *unix.SockaddrInet6:
		return endpoint6(sa.Addr, sa.ZoneId, uint16(sa.Port))
	}
	return Endpoint{}
}

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	return err.(syscall.Errno) // package unix returns nothing else from these calls
}
