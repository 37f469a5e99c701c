//go:build !linux

package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
)

// The words of Generate; see the Linux file.
const (
	Ready   = "ready"
	Started = "started"
	Stopped = "stopped"
)

// Serve needs Linux.
func Serve(netip.AddrPort, io.Writer) error { return errSystem() }

// Generate needs Linux.
func Generate(*Spec, io.Writer) error { return errSystem() }

// SendPackets needs Linux.
func SendPackets(*PacketSpec, io.Writer) error { return errSystem() }

func errSystem() error {
	return fmt.Errorf("load generator on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
