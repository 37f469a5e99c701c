//go:build dragonfly || freebsd || netbsd || openbsd

package sock

import "golang.org/x/sys/unix"

func socket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// noSignal has nothing to do: the runtime ignores SIGPIPE of sockets.
func noSignal(int) error { return nil }
