//go:build !linux

package ring

import (
	"errors"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// control is a net.Dialer.Control for what package net has no words for: a foreign address. The rest it has.
func control(o *sock.Options) func(network, addr string, c syscall.RawConn) error {
	if !o.Transparent {
		return nil
	}
	six := o.Bind.Addr().Is6()
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) { err = sock.SetTransparent(int(fd), six) })
		return errors.Join(cerr, err)
	}
}
