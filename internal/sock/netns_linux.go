package sock

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// errGoexit is the result of a function that ended its goroutine, as testing's FailNow does.
var errGoexit = errors.New("function called runtime.Goexit")

// NewNamespace opens a new, empty network namespace. It has no name: it lives as long as somebody holds the file, a
// process or a socket in it, and so vanishes with this process however that ends. Needs CAP_SYS_ADMIN; see
// network_namespaces(7).
func NewNamespace() (*os.File, error) {
	var ns *os.File
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// InNamespace runs f inside the network namespace that fd refers to, on an OS thread of its own, and waits for it.
// Sockets made by f's goroutine and processes started by it belong to that namespace and stay usable from
// everywhere; goroutines started by f do not, so names that need the resolver should not be dialled in f. A panic of
// f ends the program, as in any goroutine. Needs CAP_SYS_ADMIN; see setns(2).
func InNamespace(fd int, f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", os.NewSyscallError("setns", err))
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it, so that no other goroutine can inherit what f did to the thread.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		err := errGoexit
		defer func() { done <- err }()
		runtime.LockOSThread() // never unlocked: that is what ends the thread
		err = f()
	}()
	return <-done
}
