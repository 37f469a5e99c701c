//go:build netbsd || openbsd

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// accept takes a connection. Package unix has no accept4 here: the lock keeps a fork from coming between.
func accept(fd int) (int, unix.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	nfd, sa, err := unix.Accept(fd)
	if err != nil {
		return -1, nil, err
	}
	unix.CloseOnExec(nfd)
	if err := unix.SetNonblock(nfd, true); err != nil {
		unix.Close(nfd)
		return -1, nil, err
	}
	return nfd, sa, nil
}
