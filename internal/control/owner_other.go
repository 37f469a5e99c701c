//go:build !unix

package control

import (
	"io/fs"
	"os"
)

// adopt gives f the mode of a file that it is to replace.
func adopt(f *os.File, old fs.FileInfo) error { return f.Chmod(old.Mode().Perm()) }
