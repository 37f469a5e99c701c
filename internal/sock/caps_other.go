//go:build !linux

package sock

// A Capability is a part of root's power. Only Linux takes root apart; elsewhere root is given up as a whole.
type Capability uint

// The capabilities that the program may have use for.
const (
	CapNetBindService Capability = iota
	CapNetAdmin
	CapNetRaw
	CapBPF
)

// KeepCapabilities does nothing here.
func KeepCapabilities() error { return nil }

// LimitCapabilities does nothing here.
func LimitCapabilities(...Capability) error { return nil }
