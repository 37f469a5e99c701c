//go:build dragonfly || netbsd || openbsd

package sock

import "golang.org/x/sys/unix"

const reusePort = unix.SO_REUSEPORT

func setCongestion(int, string) error { return unix.ENOPROTOOPT }
