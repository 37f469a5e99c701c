//go:build !unix

package process

import "errors"

// DropPrivileges fails if it is asked for anything.
func DropPrivileges(p Privileges) error {
	if p.Jail != "" || p.User != "" {
		return errors.New("-j and -u need a Unix system")
	}
	return nil
}
