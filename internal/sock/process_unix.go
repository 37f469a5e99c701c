//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// InUse reports whether somebody listens on a already, also if he shares the port (SO_REUSEPORT) and Listen with
// ReusePort would join him without a word. It is a snapshot.
func InUse(a *Addr) bool {
	if a.IsUnix() {
		return false
	}
	sa, err := sockaddr(a)
	if err != nil {
		return false
	}
	fd, err := socket(family(a))
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// With SO_REUSEADDR only a listener is in the way, not a connection that waits for its end.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) != nil {
		return false
	}
	return errors.Is(unix.Bind(fd, sa), unix.EADDRINUSE)
}

// OpenFiles counts the open descriptors of this process; 0 where the system does not tell.
func OpenFiles() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if es, err := os.ReadDir(dir); err == nil {
			return max(len(es)-1, 0) // one is the directory's
		}
	}
	return 0
}

// Redirect makes descriptor to refer to what f is, as dup2(2).
func Redirect(f *os.File, to int) error {
	return dup2(int(f.Fd()), to)
}
