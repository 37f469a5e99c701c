//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listener is a listening stream socket: a non-blocking descriptor, closed across exec.
type Listener struct {
	fd      int // -1 after Close
	addr    Addr
	noDelay bool
}

// Listen opens a listener at a. A Unix socket that is left at the path is replaced, at once and atomically, so that
// somebody who connects meets the old or the new one; any other file there gives ErrNotSocket. IPV6_V6ONLY stays as
// the system has it, as in pen. The errno stays in the error: test it with errors.Is(err, syscall.EADDRINUSE).
func Listen(a *Addr, o *ListenOptions) (*Listener, error) {
	if o == nil {
		o = &ListenOptions{}
	}
	l, err := listen(a, o)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", a, err)
	}
	return l, nil
}

func listen(a *Addr, o *ListenOptions) (l *Listener, err error) {
	sa, err := sockaddr(a)
	if err != nil {
		return nil, err
	}
	if a.IsUnix() {
		if err := checkPath(a.Path); err != nil {
			return nil, err
		}
	}
	fd, err := socket(family(a))
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	l = &Listener{fd: fd, addr: *a}
	if a.IsUnix() {
		if err := bindPath(fd, a.Path, o.Mode, l.backlog(o.Backlog)); err != nil {
			return nil, err
		}
		return l, nil
	}
	l.noDelay = o.NoDelay
	if err := prepareListener(fd, o); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, l.backlog(o.Backlog)); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	if a.AddrPort.Port() == 0 {
		l.addr.AddrPort = netip.AddrPortFrom(a.AddrPort.Addr(), Local(fd).port)
	}
	return l, nil
}

// backlog is what listen(2) gets for n; the kernel cuts it to its limit (net.core.somaxconn, kern.ipc.somaxconn).
func (*Listener) backlog(n int) int {
	if n <= 0 {
		return 1<<15 - 1 // some systems keep it in a short
	}
	return n
}

// prepareListener sets the options that have to be there before bind.
func prepareListener(fd int, o *ListenOptions) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil { // as pen; inherited
		return os.NewSyscallError("setsockopt SO_KEEPALIVE", err)
	}
	if o.ReusePort {
		if err := setReusePort(fd); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if o.NoDelay {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return os.NewSyscallError("setsockopt TCP_NODELAY", err)
		}
	}
	return nil
}

// checkPath reports whether a Unix socket may be put at path.
func checkPath(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != os.ModeSocket:
		return ErrNotSocket
	}
	return nil
}

// bindPath binds fd to path and makes it listen. The socket is made under a name beside, gets its permissions, and
// is then renamed over what was there: nobody can connect to it before it is complete, and path never goes missing.
func bindPath(fd int, path string, mode uint32, backlog int) error {
	tmp := filepath.Join(filepath.Dir(path), ".pen"+strconv.Itoa(os.Getpid())+"."+strconv.Itoa(fd))
	os.Remove(tmp) // of a process that died with our number
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: tmp})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENAMETOOLONG) {
		return bindPlain(fd, path, mode, backlog) // path is so short of the limit that tmp does not fit
	}
	if err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := finishPath(fd, tmp, mode, backlog); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// bindPlain does as bindPath, for a name that is too long for a longer one beside it: remove, bind.
func bindPlain(fd int, path string, mode uint32, backlog int) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return finishPath(fd, path, mode, backlog)
}

func finishPath(fd int, path string, mode uint32, backlog int) error {
	if mode != 0 {
		if err := os.Chmod(path, os.FileMode(mode&0o777)); err != nil {
			return err
		}
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

// FD is the descriptor; l keeps owning it.
func (l *Listener) FD() int { return l.fd }

// SetBacklog changes the length of the queue of connections not yet accepted; 0: the system's maximum.
func (l *Listener) SetBacklog(n int) error {
	return os.NewSyscallError("listen", unix.Listen(l.fd, l.backlog(n)))
}

// Close closes the listener; connections in its queue are reset. The file of a Unix socket stays, for another process
// may have replaced it. A second Close gives an error that is net.ErrClosed.
func (l *Listener) Close() error {
	if l.fd < 0 {
		return net.ErrClosed
	}
	fd := l.fd
	l.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// NetListener is the same listening socket for package net, over a duplicate of the descriptor: closing it leaves l
// open, and it may be called several times.
func (l *Listener) NetListener() (net.Listener, error) {
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(fd), l.addr.String())
	defer f.Close()
	nl, err := net.FileListener(f)
	if ul, ok := nl.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	return nl, err
}

func family(a *Addr) int {
	switch {
	case a.IsUnix():
		return unix.AF_UNIX
	case a.AddrPort.Addr().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// sockaddr is a for package unix. Not for the hot path: it allocates.
func sockaddr(a *Addr) (unix.Sockaddr, error) {
	if a.IsUnix() {
		if len(a.Path) >= len(unix.RawSockaddrUnix{}.Path) {
			return nil, unix.ENAMETOOLONG
		}
		return &unix.SockaddrUnix{Name: a.Path}, nil
	}
	if !a.AddrPort.IsValid() {
		return nil, unix.EINVAL
	}
	return sockaddrIP(a.AddrPort), nil
}

func sockaddrIP(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}
}

// zoneID is the number of the interface that a zone names, 0 if there is none.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
