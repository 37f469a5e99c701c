//go:build unix

package ringtest

import (
	"net"
	"syscall"
)

// sendUrgent sends b as urgent data.
func sendUrgent(c *net.TCPConn, b []byte) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var e error
	if err := raw.Control(func(fd uintptr) { _, e = syscall.SendmsgN(int(fd), b, nil, nil, syscall.MSG_OOB) }); err != nil {
		return err
	}
	return e
}
