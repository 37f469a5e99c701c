package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ReplaceFile makes b the contents of the file at path. Whoever reads it meets the old contents or the new: a file
// beside it is written first and then takes its name, with the owner and mode that it had. Where that is not possible,
// as in a jail whose directories are not writable, the file itself is written, and gets its old contents back if that
// fails. A symbolic link stays one. A FIFO without a reader is an error instead of a wait. It blocks for the disk.
func ReplaceFile(path string, b []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && !old.Mode().IsRegular():
		return writeTo(path, b)
	case err != nil:
		old = nil
	}
	err = replaceByRename(path, old, b)
	if old == nil || err == nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return overwrite(f, b)
}

// replaceByRename writes a new file and renames it to path. old is what is there now, nil if nothing.
func replaceByRename(path string, old fs.FileInfo, b []byte) (err error) {
	// Not os.CreateTemp: a file that is new gets the permissions that the umask leaves.
	tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".pen%d.%08x", os.Getpid(), rand.Uint32()))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	_, err = f.Write(b)
	if err == nil && old != nil {
		err = adopt(f, old)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// writeTo sends b to what is not a regular file.
func writeTo(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_ = f.SetWriteDeadline(time.Now().Add(fileTimeout)) // pipes have deadlines, others need none
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// contents is a file that is open for reading and writing.
type contents interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
}

// overwrite makes b what f holds, or leaves what it held: that had room on the disk, and so has it again.
func overwrite(f contents, b []byte) error {
	old, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return err
	}
	err = setContents(f, b)
	if err == nil {
		return nil
	}
	return errors.Join(err, setContents(f, old))
}

func setContents(f contents, b []byte) error {
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(b)))
}
