//go:build !unix

package process

import "errors"

// IsBackground reports whether this is the second process; here there is only one.
func IsBackground() bool { return false }

// Detach is not possible here; a service manager keeps the program in the background.
func Detach([]string) (status int, err error) {
	return 1, errors.New("no background on this system: use -f")
}

// Background is nil here.
type Background struct{}

// OpenBackground returns nil here.
func OpenBackground() (*Background, error) { return nil, nil }

// Ready does nothing here.
func (*Background) Ready(...int) error { return nil }

// DropPrivileges fails if it is asked for anything.
func DropPrivileges(jail, name string) error {
	if jail != "" || name != "" {
		return errors.New("-j and -u need a Unix system")
	}
	return nil
}
