//go:build dragonfly || freebsd

package ringtest

import "syscall"

func setLimit(l *syscall.Rlimit, n uintptr) { l.Cur = int64(n) }
