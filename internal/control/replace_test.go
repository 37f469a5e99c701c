package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "old contents, longer", "target": "old"})
	if err := os.Symlink("target", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/cfg", 0o640); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir + "/cfg")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for _, name := range []string{"cfg", "link", "new"} {
		if err := ReplaceFile(filepath.Join(dir, name), []byte("new")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"cfg", "target", "new"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != "new" {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	b := make([]byte, 100)
	if n, _ := open.Read(b); string(b[:n]) != "old contents, longer" {
		t.Errorf("who reads meanwhile gets %q", b[:n])
	}
	if fi, err := os.Stat(dir + "/cfg"); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Lstat(dir + "/link"); err != nil || fi.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link became %v, %v", fi.Mode(), err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReplaceFileErrors(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"file": "old"})
	for _, path := range []string{dir, dir + "/none/new", dir + "/file/x"} {
		if err := ReplaceFile(path, []byte("new")); err == nil {
			t.Errorf("%s was written", path)
		}
	}
}

// disk is a file on a disk that fills up: whatever would make it longer than room fails.
type disk struct {
	b    []byte
	room int
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	return strings.NewReader(string(d.b)).ReadAt(p, off)
}

func (d *disk) WriteAt(p []byte, off int64) (n int, err error) {
	if n = len(p); int(off)+n > d.room {
		n, err = d.room-int(off), errFake
	}
	for len(d.b) < int(off)+n {
		d.b = append(d.b, 0)
	}
	copy(d.b[off:], p[:n])
	return n, err
}

func (d *disk) Truncate(size int64) error {
	d.b = d.b[:size]
	return nil
}

func TestOverwrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		old, b string
		room   int
		want   string
	}{
		{"old", "newer", 9, "newer"},
		{"older", "new", 9, "new"},
		{"old", "much too long", 5, "old"},
		{"", "much too long", 5, ""},
		{"older", "", 5, ""},
	} {
		d := &disk{[]byte(tt.old), tt.room}
		err := overwrite(d, []byte(tt.b))
		if string(d.b) != tt.want || (tt.want == tt.b) != (err == nil) || err != nil && !errors.Is(err, errFake) {
			t.Errorf("%q over %q with room for %d: %q, %v", tt.b, tt.old, tt.room, d.b, err)
		}
	}
}
