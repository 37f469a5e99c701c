//go:build !unix

package daemon

import (
	"errors"

	"github.com/penlb/pen/internal/sock"
)

func dropPrivileges(jail, name string, _ []sock.Capability) error {
	if jail != "" || name != "" {
		return errors.New("-j and -u need a Unix system")
	}
	return nil
}
