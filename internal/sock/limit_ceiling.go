//go:build linux || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

// fileCeiling is the highest soft limit: the hard one.
func fileCeiling[T int64 | uint64](hard T) T { return hard }
