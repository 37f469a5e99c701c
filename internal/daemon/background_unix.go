//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/penlb/pen/internal/getopt"
	"github.com/penlb/pen/internal/sock"
)

// readyFD names, in the environment of the second process, the descriptor on which it says that it serves.
const readyFD = "PEN_READY_FD"

// wantsBackground reports whether this is the first process of two: pen goes to the background unless -f says not to.
// Command lines that end in the usage text, or at once, need no second one.
func wantsBackground(args []string) bool {
	if os.Getenv(readyFD) != "" || len(args) < 2 {
		return false
	}
	for o, err := range getopt.New(args[1:], optstring).Options() {
		if err != nil || o.Flag == 'f' || o.Flag == 'i' {
			return false
		}
	}
	return true
}

// background starts the second process in a session of its own, with the same arguments, and leaves once it serves;
// or with its exit status if it ends before.
func background(env Env) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("go to the background: %w; -f stays in the foreground", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := &exec.Cmd{
		Path: exe, Args: env.Args, Env: append(os.Environ(), readyFD+"=3"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exitNow{exit.ExitCode()}
	case err != nil:
		return fmt.Errorf("the background process: %w", err)
	}
	return nil
}

// ready tells the first process that this one serves, and lets go of the terminal.
func ready(l *logger) error {
	v := os.Getenv(readyFD)
	if v == "" {
		return nil
	}
	os.Unsetenv(readyFD)
	fd, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%s=%s: %w", readyFD, v, err)
	}
	l.background()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		for to := range 3 {
			err = errors.Join(err, sock.Redirect(null, to))
		}
	}
	f := os.NewFile(uintptr(fd), "ready")
	defer f.Close()
	if _, werr := f.Write([]byte{1}); werr != nil {
		err = errors.Join(err, werr)
	}
	return err
}
