//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// readyFD names, in the environment of the second process, the descriptor on which it says that it serves.
const readyFD = "PEN_READY_FD"

// IsBackground reports whether this is the second process.
func IsBackground() bool { return os.Getenv(readyFD) != "" }

// Detach starts the second process with args, of which the first is the program's name, and waits until it serves.
// It returns its exit status, 0 if it serves.
func Detach(args []string) (status int, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("go to the background: %w", err)
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
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

// Background is how the second process talks to the first. In the foreground it is nil, and its methods do nothing.
type Background struct{ ready, null *os.File }

// OpenBackground is called before the process enters a jail, in which there may be no null device.
func OpenBackground() (*Background, error) {
	v := os.Getenv(readyFD)
	if v == "" {
		return nil, nil
	}
	os.Unsetenv(readyFD)
	fd, err := strconv.Atoi(v)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", readyFD, v, err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Background{ready: os.NewFile(uintptr(fd), "ready"), null: null}, nil
}

// Ready tells the first process that this one serves, and lets go of the given ones of the descriptors 0 to 2.
func (b *Background) Ready(detach ...int) error {
	if b == nil {
		return nil
	}
	defer b.ready.Close()
	defer b.null.Close()
	for _, to := range detach {
		if err := sock.Redirect(b.null, to); err != nil {
			return err
		}
	}
	_, err := b.ready.Write([]byte{1})
	return err
}

// DropPrivileges enters the jail and becomes the user with that name, each if not empty. The user is looked up before
// the jail hides the password file. All threads change.
//
// pen: changed the user only; the group of root stayed, and so did a working directory outside the jail.
func DropPrivileges(jail, name string) error {
	uid, gid := -1, -1
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if jail != "" {
		if err := syscall.Chroot(jail); err != nil {
			return fmt.Errorf("chroot %s: %w", jail, err)
		}
		if err := os.Chdir("/"); err != nil {
			return fmt.Errorf("chroot %s: %w", jail, err)
		}
	}
	if uid < 0 || uid == os.Getuid() && uid == os.Geteuid() {
		return nil
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("give up the groups of root: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("become user %s: %w", name, err)
	}
	return nil
}
