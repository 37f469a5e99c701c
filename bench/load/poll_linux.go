package load

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// Interest in a socket. edge is EPOLLET, whose sign differs between architectures in package syscall.
const (
	edge     = 1 << 31
	readable = syscall.EPOLLIN
	writable = syscall.EPOLLOUT
	both     = readable | writable | syscall.EPOLLRDHUP | edge
)

// sysEpollPwait2 has one number on every architecture of ours; Linux 5.11, epoll_wait(2).
const sysEpollPwait2 = 441

// poller is an epoll set. It is not safe for concurrent use.
type poller struct {
	fd     int
	events [512]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { syscall.Close(p.fd) }

func (p *poller) add(fd int32, interest uint32) error {
	return p.ctl(syscall.EPOLL_CTL_ADD, fd, interest)
}

func (p *poller) set(fd int32, interest uint32) error {
	return p.ctl(syscall.EPOLL_CTL_MOD, fd, interest)
}

func (p *poller) ctl(op int, fd int32, interest uint32) error {
	ev := syscall.EpollEvent{Events: interest, Fd: fd}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("epoll_ctl: %w", errno)
	}
	return nil
}

// wait returns the sockets that are ready, after at most timeout; a negative timeout waits for ever. It first looks
// without telling the Go scheduler, which is the usual case under load and the cheaper one.
func (p *poller) wait(timeout time.Duration) ([]syscall.EpollEvent, error) {
	events := unsafe.Pointer(&p.events[0])
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(events), uintptr(len(p.events)), 0, 0, 0)
	if errno == 0 && n == 0 && timeout != 0 {
		// The kernel's __kernel_timespec: two 64-bit words everywhere.
		var limit *[2]int64
		if timeout > 0 {
			limit = &[2]int64{int64(timeout / time.Second), int64(timeout % time.Second)}
		}
		n, _, errno = syscall.Syscall6(sysEpollPwait2, uintptr(p.fd), uintptr(events), uintptr(len(p.events)),
			uintptr(unsafe.Pointer(limit)), 0, 0)
	}
	switch errno {
	case 0:
		return p.events[:n], nil
	case syscall.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("epoll_pwait2: %w", errno)
}

// read and write never block: every socket here is O_NONBLOCK.
func read(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

func write(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// again reports whether a call merely found the socket not ready.
func again(errno syscall.Errno) bool { return errno == syscall.EAGAIN || errno == syscall.EINTR }

func closeFD(fd int32) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// streamSocket makes a non-blocking IPv4 TCP socket without Nagle's delay.
func streamSocket() (int32, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		syscall.Close(fd)
		return -1, fmt.Errorf("TCP_NODELAY: %w", err)
	}
	return int32(fd), nil
}
