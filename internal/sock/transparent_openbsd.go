package sock

import "golang.org/x/sys/unix"

// SetTransparent lets fd be bound to an address of another machine (SO_BINDANY in getsockopt(2)). EPERM for anybody but
// root.
func SetTransparent(fd int, _ bool) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDANY, 1)
}
