//go:build !unix

package daemon

import "errors"

func dropPrivileges(jail, name string) error {
	if jail != "" || name != "" {
		return errors.New("-j and -u need a Unix system")
	}
	return nil
}
