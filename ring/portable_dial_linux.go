package ring

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
)

// control is a net.Dialer.Control that sets what o asks for and package net has no words for.
func control(o *sock.Options) func(network, addr string, c syscall.RawConn) error {
	own := *o
	if !own.Bind.IsValid() && own.Congestion == "" {
		return nil
	}
	return func(network, _ string, c syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		var err error
		cerr := c.Control(func(fd uintptr) { err = prepare(int(fd), &own) })
		if cerr != nil {
			return cerr
		}
		return err
	}
}

func prepare(fd int, o *sock.Options) error {
	if o.Transparent {
		if err := sock.SetTransparent(fd, o.Bind.Addr().Is6()); err != nil {
			return err
		}
	}
	if o.Bind.IsValid() && o.Bind.Port() == 0 { // Linux 4.2; without it, a port per address instead of per connection
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if o.Congestion == "" {
		return nil
	}
	err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, o.Congestion)
	return os.NewSyscallError("setsockopt", err)
}
