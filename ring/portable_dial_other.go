//go:build !linux

package ring

import (
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// control is none: the rest of the options is in words of package net.
func control(*sock.Options) func(network, addr string, c syscall.RawConn) error { return nil }
