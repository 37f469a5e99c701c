package ring

import (
	"fmt"
	"math"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shortReadDrains: see epoll(7), "Do I need to continuously read/write a file descriptor until EAGAIN".
const shortReadDrains = true

// maxEvents is how many events one turn takes. It bounds the time until posts run; what does not fit stays first in
// the kernel's list.
const maxEvents = 512

// poller is epoll(7) with an eventfd(2) to end its wait. Needs Linux 2.6.27.
type poller struct {
	fd     int
	wakeFD int
	got    []unix.EpollEvent // maxEvents long
}

func newEpoll(o Options) (Loop, error) {
	r, err := newReadiness("epoll", o)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return os.NewSyscallError("eventfd2", err)
	}
	// Edge-triggered, so nobody has to read it: each write is an edge. Its events have the name of no socket.
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wakeFD, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
		unix.Close(fd)
		unix.Close(wakeFD)
		return os.NewSyscallError("epoll_ctl", err)
	}
	*p = poller{fd: fd, wakeFD: wakeFD, got: make([]unix.EpollEvent, maxEvents)}
	return nil
}

func (p *poller) close() {
	unix.Close(p.fd)
	unix.Close(p.wakeFD)
}

func (*poller) features() []string { return []string{"edge-triggered"} }

func (p *poller) wake() { signal(p.wakeFD) }

// add registers fd under the name of s.
func (p *poller) add(fd int, s Sock, ev events) syscall.Errno {
	return p.control(unix.EPOLL_CTL_ADD, fd, s, ev)
}

// modify changes what is reported to ev and reports it once more if it is there already (ep_modify, fs/eventpoll.c).
func (p *poller) modify(fd int, s Sock, ev events) syscall.Errno {
	return p.control(unix.EPOLL_CTL_MOD, fd, s, ev)
}

// remove ends the watch of an fd that stays open.
func (p *poller) remove(fd int) { p.control(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *poller) control(op, fd int, s Sock, ev events) syscall.Errno {
	e := unix.EpollEvent{Events: unix.EPOLLET, Fd: int32(s)}
	if ev&evLevel != 0 {
		e.Events = 0
	}
	if ev&evRead != 0 {
		e.Events |= unix.EPOLLIN
	}
	if ev&evWrite != 0 {
		e.Events |= unix.EPOLLOUT
	}
	if ev&evHangup != 0 {
		e.Events |= unix.EPOLLRDHUP
	}
	if ev&evUrgent != 0 {
		e.Events |= unix.EPOLLPRI
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}

// wait yields the number of events that came within d, which is negative for ever. With 0 it goes past the scheduler;
// a wait that may block must not, or the garbage collector would wait for it.
func (p *poller) wait(d time.Duration) (int, error) {
	buf := uintptr(unsafe.Pointer(unsafe.SliceData(p.got)))
	var n uintptr
	var e syscall.Errno
	if d == 0 {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), buf, maxEvents, 0, 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), buf, maxEvents, uintptr(milliseconds(d)), 0, 0)
	}
	switch e {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait: %w", e)
}

// milliseconds rounds up: a timer is never early, and a wait of 0 would spin until it is due.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// event is the i-th event of the last wait.
func (p *poller) event(i int) (Sock, events) {
	e := &p.got[i]
	var ev events
	if e.Events&unix.EPOLLIN != 0 {
		ev |= evRead
	}
	if e.Events&unix.EPOLLOUT != 0 {
		ev |= evWrite
	}
	if e.Events&unix.EPOLLRDHUP != 0 {
		ev |= evHangup
	}
	if e.Events&unix.EPOLLPRI != 0 {
		ev |= evUrgent | evRead // what is before the mark
	}
	if e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		ev |= evRead | evWrite | evHangup // the pending call finds the error, after the data that came before it
	}
	return Sock(e.Fd), ev
}
