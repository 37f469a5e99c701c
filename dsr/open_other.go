//go:build !linux

package dsr

import (
	"errors"
	"fmt"
	"runtime"
)

// Open works on Linux only.
func Open(Options) (*Engine, error) {
	return nil, fmt.Errorf("direct server return on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
