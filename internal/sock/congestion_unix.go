//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package sock

import (
	"fmt"
	"net/netip"
	"syscall"
)

// TryCongestion is nil if sockets of this process may have the congestion control of that name. As root the kernel
// loads what is missing (tcp(7), TCP_CONGESTION).
func TryCongestion(name string) error {
	a := Addr{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)}
	fd, err := Open(&a, nil)
	if err != nil {
		return err
	}
	defer Close(fd)
	switch e := setCongestion(fd, name); e {
	case 0:
		return nil
	case syscall.ENOENT:
		return fmt.Errorf("congestion control %s: the system has none of that name", name)
	default:
		return fmt.Errorf("congestion control %s: %w", name, e)
	}
}
