//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris)

package sock

import "errors"

// FileLimit is not known: there is no such limit.
func FileLimit() (uint64, error) { return 0, errors.ErrUnsupported }

// RaiseFileLimit has nothing to raise.
func RaiseFileLimit() (soft uint64, err error) { return 0, errors.ErrUnsupported }
