//go:build dragonfly || netbsd || openbsd

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const reusePort = unix.SO_REUSEPORT

func setCongestion(int, string) syscall.Errno { return unix.ENOPROTOOPT }
