//go:build unix && !(dragonfly || freebsd)

package ringtest

import "syscall"

func setLimit(l *syscall.Rlimit, n uintptr) { l.Cur = uint64(n) }
