package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

func checkOnly(c *call) { c.CheckOnly = true }

// controlDir says where TCP control clients may have files.
func controlDir(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	c.ControlDir = c.args[0]
}

// controlMode says who on this machine may use a Unix control socket.
func controlMode(c *call) {
	mode, err := parseMode(c.arg(0))
	if err != nil {
		c.ignored("%v", err)
		return
	}
	c.ControlMode, c.ControlGroup = mode, c.arg(1)
}

func checkControlMode(k *check) {
	if !k.need(0, "permissions such as 0660") {
		return
	}
	if _, err := parseMode(k.line.args[0]); err != nil {
		k.wrong("%v", err)
	}
}

func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return 0, fmt.Errorf("%q are no permissions: want an octal number such as 0660", s)
	}
	return fs.FileMode(n), nil
}

// firstArg is the file of commands whose argument is one.
func firstArg(_ *Env, args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// confine is nil if a TCP client may use the file at path: it has to lie below control_dir, also if names on the way
// are symbolic links, and so has one that is yet to be made. The check precedes the use; who can put links into the
// directory meanwhile is on this machine, and trusted.
func (e *Env) confine(path string) error {
	if e.ControlDir == "" {
		return fmt.Errorf("%s: no files for TCP clients; start with -O 'control_dir DIRECTORY', or use a Unix socket", path)
	}
	if err := within(e.ControlDir, path); err != nil {
		return fmt.Errorf("%s: TCP clients may only have files in %s: %w", path, e.ControlDir, err)
	}
	return nil
}

var errOutside = errors.New("outside")

// within is nil if path is, or would be, below dir.
func within(dir, path string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil || name == "." || !filepath.IsLocal(name) {
		return errOutside
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err = root.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// It may be made, unless it is a link to somewhere: then that would be.
	if _, err := root.Lstat(name); err == nil {
		return errOutside
	}
	_, err = root.Stat(filepath.Dir(name))
	return err
}
