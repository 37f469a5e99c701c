//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// adopt gives f the mode and owner of a file that it is to replace. An owner that only root could give is an error.
func adopt(f *os.File, old fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	have, want := now.Sys().(*syscall.Stat_t), old.Sys().(*syscall.Stat_t)
	if have.Uid != want.Uid || have.Gid != want.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(old.Mode().Perm())
}
