//go:build !unix

package penlogd

import (
	"errors"
	"io"
)

func systemLog() (io.Writer, error) { return nil, errors.ErrUnsupported }
