//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"os"

	"golang.org/x/sys/unix"
)

// FileLimit is how many descriptors the process may have open (RLIMIT_NOFILE, soft).
func FileLimit() (uint64, error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return uint64(lim.Cur), nil
}

// RaiseFileLimit raises the soft limit of open descriptors to the hard one and yields what holds now, also with an
// error.
func RaiseFileLimit() (soft uint64, err error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	want := lim
	want.Cur = fileCeiling(lim.Max)
	if want.Cur <= lim.Cur {
		return uint64(lim.Cur), nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		return uint64(lim.Cur), os.NewSyscallError("setrlimit", err)
	}
	return uint64(want.Cur), nil
}
