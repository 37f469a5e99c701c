//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// CanDetach tells whether there is a background on this system.
const CanDetach = true

// readyFD names, in the environment of the second process, the descriptor on which it says that it serves.
const readyFD = "PEN_READY_FD"

// IsBackground reports whether this is the second process, which has not called OpenBackground yet.
func IsBackground() bool { return os.Getenv(readyFD) != "" }

// Detach starts the second process with args, of which the first is the program's name, and waits until it serves or
// ends. It returns the exit status for this one: that of the second process, or 0 if it serves.
func Detach(args []string) (status int, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("go to the background: %w; -f stays in the foreground", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 1, fmt.Errorf("go to the background: %w", err)
	}
	defer r.Close()
	cmd := &exec.Cmd{
		Path: exe, Args: args, Env: append(os.Environ(), readyFD+"=3"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 1, fmt.Errorf("go to the background: %w", err)
	}
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return 0, nil
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("the background process: %w", err)
	}
	return 0, nil
}

// Background is how the second process talks to the first. In the foreground it is nil, and its methods do nothing.
type Background struct {
	ready, null *os.File
	log         *Logger
	system      systemLog
}

// OpenBackground opens what the process needs to let go of the terminal; l turns to the system's log then. It comes
// before DropPrivileges. What this process starts itself will not take itself for the second one.
func OpenBackground(l *Logger) (*Background, error) {
	v := os.Getenv(readyFD)
	if v == "" {
		return nil, nil
	}
	os.Unsetenv(readyFD)
	fd, err := strconv.Atoi(v)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%s: not a descriptor beyond the first three", readyFD, v)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return &Background{ready: os.NewFile(uintptr(fd), "ready"), null: null, log: l, system: openSystemLog(l.name)}, nil
}

// Ready tells the first process that this one serves, and lets go of those of the descriptors 0 to 2 that detach
// names. On error this one serves as well, but may keep a terminal, or a first process that thinks that it failed.
func (b *Background) Ready(detach ...int) error {
	if b == nil {
		return nil
	}
	b.log.use(b.system)
	var failed error
	for _, to := range detach {
		failed = errors.Join(failed, sock.Redirect(b.null, to))
	}
	_, err := b.ready.Write([]byte{1})
	return errors.Join(failed, err, b.ready.Close(), b.null.Close())
}
