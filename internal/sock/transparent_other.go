//go:build !(linux || freebsd || openbsd)

package sock

import "errors"

// SetTransparent is an error: the system lets no socket be bound to an address of another machine.
func SetTransparent(int, bool) error { return errors.ErrUnsupported }
