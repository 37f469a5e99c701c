//go:build unix

package ring

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// newIO is the way of Unix: the descriptors of package net are non-blocking, and may be used through SyscallConn.
func newIO(c streamConn) rawIO {
	d := &directIO{}
	d.open(c)
	d.onRead, d.onWrite = d.readNow, d.writeNow
	return d
}

// directIO calls read(2) and write(2) itself.
type directIO struct {
	waiter
	mem             []byte
	n               int
	err             error
	onRead, onWrite func(fd uintptr) bool // made once, so that a call allocates nothing
}

func (d *directIO) read(b []byte) (int, syscall.Errno)  { return d.call(d.raw.Read, d.onRead, b) }
func (d *directIO) write(b []byte) (int, syscall.Errno) { return d.call(d.raw.Write, d.onWrite, b) }

func (d *directIO) call(with func(func(uintptr) bool) error, f func(uintptr) bool, b []byte) (int, syscall.Errno) {
	d.mem, d.n, d.err = b, 0, nil
	err := with(f)
	d.mem = nil
	if err == nil {
		err = d.err
	}
	return max(d.n, 0), netErrno(err)
}

// readNow and writeNow always report true, that they are done: false would block.
func (d *directIO) readNow(fd uintptr) bool {
	d.n, d.err = ignoringEINTR(syscall.Read, fd, d.mem)
	return true
}

func (d *directIO) writeNow(fd uintptr) bool {
	d.n, d.err = ignoringEINTR(syscall.Write, fd, d.mem)
	return true
}

func ignoringEINTR(call func(int, []byte) (int, error), fd uintptr, b []byte) (int, error) {
	for {
		n, err := call(int(fd), b)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// waiter awaits data without taking it.
type waiter struct {
	raw    syscall.RawConn
	poll   [1]unix.PollFd
	onLook func(fd uintptr) bool
}

func (w *waiter) open(c syscall.Conn) {
	w.raw, _ = c.SyscallConn() // fails only for a connection that is nil
	w.poll[0].Events = unix.POLLIN
	w.onLook = w.look
}

func (w *waiter) await() syscall.Errno { return netErrno(w.raw.Read(w.onLook)) }

// look may not just wait to be called again, for data that came before gives no further event.
func (w *waiter) look(fd uintptr) bool {
	w.poll[0].Fd = int32(fd)
	for {
		n, err := unix.Poll(w.poll[:], 0)
		if err != unix.EINTR {
			return n != 0 // also on an error, which read will meet
		}
	}
}

// descriptor is the number of c's descriptor, -1 once it is closed.
func descriptor(c streamConn) int {
	got := -1
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { got = int(fd) })
	}
	return got
}

// unixErrno is e: package net yields the errno of the system.
func unixErrno(e syscall.Errno) syscall.Errno { return e }
