package ring

import (
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
)

// control is a net.Dialer.Control that sets what o asks for and package net has no words for.
func control(o *sock.Options) func(network, addr string, c syscall.RawConn) error {
	bind, congestion := o.Bind, o.Congestion
	if !bind.IsValid() && congestion == "" {
		return nil
	}
	return func(network, _ string, c syscall.RawConn) error {
		if network == "unix" {
			return nil
		}
		var err error
		cerr := c.Control(func(fd uintptr) { err = prepare(int(fd), bind, congestion) })
		if cerr != nil {
			return cerr
		}
		return err
	}
}

func prepare(fd int, bind netip.AddrPort, congestion string) error {
	if bind.IsValid() && bind.Port() == 0 { // Linux 4.2; without it, a port per address instead of per connection
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if congestion == "" {
		return nil
	}
	err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	return os.NewSyscallError("setsockopt", err)
}
