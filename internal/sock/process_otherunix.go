//go:build darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"runtime"

	"golang.org/x/sys/unix"
)

func dup2(from, to int) error { return unix.Dup2(from, to) }

// CanReusePort tells whether listeners that share a port (SO_REUSEPORT) share the connections among them. FreeBSD has
// SO_REUSEPORT_LB for that, DragonFly does it by SO_REUSEPORT; elsewhere one of them gets all.
const CanReusePort = runtime.GOOS == "freebsd" || runtime.GOOS == "dragonfly"
