package tlsterm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// dirs are open directories by path. They outlive a chroot.
type dirs map[string]*os.Root

// file names one file. The zero file is none.
type file struct {
	path string
	dir  *os.Root // its directory; nil if that could not be opened
}

// file makes a file of path.
func (d dirs) file(path string) file {
	if path == "" {
		return file{}
	}
	return file{path, d.dir(filepath.Dir(path))}
}

func (d dirs) dir(path string) *os.Root {
	r, known := d[path]
	if !known {
		r, _ = os.OpenRoot(path) // without it only the path is left
		d[path] = r
	}
	return r
}

func (d dirs) close() {
	for _, r := range d {
		if r != nil {
			r.Close()
		}
	}
}

// read reads the file by its path, which may be a link to anywhere, or else through its directory.
func (f file) read() ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if err == nil || f.dir == nil {
		return b, err
	}
	b, again := f.dir.ReadFile(filepath.Base(f.path))
	if again == nil {
		return b, nil
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(again, fs.ErrNotExist) { // it exists, outside of the jail
		err = again
	}
	return nil, err
}

// stamp tells versions of a file apart. The zero stamp is that of no file.
type stamp struct {
	modified time.Time
	size     int64
}

func (f file) stamp() stamp {
	if f.path == "" {
		return stamp{}
	}
	fi, err := os.Stat(f.path)
	if err != nil && f.dir != nil {
		fi, err = f.dir.Stat(filepath.Base(f.path))
	}
	if err != nil {
		return stamp{}
	}
	return stamp{fi.ModTime(), fi.Size()}
}

// exists reports whether there is such a file now.
func (f file) exists() bool { return f.stamp() != stamp{} }

// remedy says what to do about a file that cannot be read.
func remedy(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "; give the user of -u the right to read it, or restart pen"
	}
	return ""
}
