//go:build !linux

package cli

import (
	"errors"
	"fmt"
	"io"
	"runtime"
)

func measure(args []string, _, stderr io.Writer) int {
	if _, err := parseOptions(args, stderr); err != nil {
		return status(err, stderr)
	}
	return status(errSystem(), stderr)
}

func worker([]string, io.Writer) error { return errSystem() }

func errSystem() error {
	return fmt.Errorf("measuring on %s: %w; bench report works", runtime.GOOS, errors.ErrUnsupported)
}
