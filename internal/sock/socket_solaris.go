package sock

import "golang.org/x/sys/unix"

func socket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// setReusePort does nothing: Solaris has the option since 11.4, illumos does not share connections out by it.
func setReusePort(int) error { return nil }

// Local is the address of fd itself.
func Local(fd int) Endpoint {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return Endpoint{}
	}
	return endpoint(sa)
}
