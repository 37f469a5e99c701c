//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package sock

import (
	"errors"
	"fmt"
)

// TryCongestion is an error: congestion control cannot be chosen here.
func TryCongestion(name string) error {
	return fmt.Errorf("congestion control %s: %w", name, errors.ErrUnsupported)
}
