//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func setReusePort(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, reusePort, 1)
}

// Open makes a stream socket that is ready to connect to a: non-blocking, closed across exec, with the options set
// and bound where o asks for it. The error is a bare syscall.Errno, for it may come per connection.
func Open(a *Addr, o *Options) (int, error) {
	fam := family(a)
	fd, err := socket(fam)
	if err != nil {
		return -1, err
	}
	if err := o.apply(fd, fam); err != nil {
		Close(fd)
		return -1, err
	}
	return fd, nil
}

func (o *Options) apply(fd, fam int) error {
	if err := noSignal(fd); err != nil {
		return err
	}
	if o == nil || fam == unix.AF_UNIX {
		return nil
	}
	if o.NoDelay {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	if o.Congestion != "" {
		setCongestion(fd, o.Congestion)
	}
	if !o.Bind.IsValid() || o.Bind.Addr().Is4() != (fam == unix.AF_INET) {
		return nil
	}
	if o.Transparent {
		if err := SetTransparent(fd, fam == unix.AF_INET6); err != nil {
			return err
		}
	}
	return unix.Bind(fd, sockaddrIP(o.Bind))
}

// Connect starts to connect fd to a. 0 means connected, EINPROGRESS under way.
func Connect(fd int, a *Addr) syscall.Errno {
	sa, err := sockaddr(a)
	if err != nil {
		return errno(err)
	}
	if e := errno(unix.Connect(fd, sa)); e != unix.EINTR {
		return e
	}
	return unix.EINPROGRESS // connect(2): it goes on
}

// Accept takes one connection from listener fd: non-blocking, closed across exec. EAGAIN means that there is none.
// A connection that died in the queue is passed over.
func Accept(fd int) (int, Endpoint, syscall.Errno) {
	for {
		nfd, sa, err := accept(fd)
		switch e := errno(err); e {
		case 0:
			return nfd, endpoint(sa), 0
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return -1, Endpoint{}, e
		}
	}
}

// Recv reads into b, which is not empty. 0 bytes mean end of stream.
func Recv(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, err := unix.Read(fd, b)
		if e := errno(err); e != unix.EINTR {
			return max(n, 0), e
		}
	}
}

// Send writes from b. The runtime ignores the signal of a broken pipe on descriptors above 2, and the socket has
// SO_NOSIGPIPE where there is one.
func Send(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, err := unix.Write(fd, b)
		if e := errno(err); e != unix.EINTR {
			return max(n, 0), e
		}
	}
}

// Close closes fd.
func Close(fd int) { unix.Close(fd) }

// Shutdown closes the write half.
func Shutdown(fd int) syscall.Errno { return errno(unix.Shutdown(fd, unix.SHUT_WR)) }

// SetAbort makes Close reset the connection (SO_LINGER 0).
func SetAbort(fd int) syscall.Errno {
	return errno(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// SetNoDelay sets TCP_NODELAY.
func SetNoDelay(fd int) syscall.Errno {
	return errno(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

// InheritsNoDelay tells whether accepted sockets have TCP_NODELAY if their listener has it; not on every BSD.
const InheritsNoDelay = false

// Error takes the pending error of fd (SO_ERROR): how a connect ended.
func Error(fd int) syscall.Errno {
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return errno(err)
	}
	return syscall.Errno(v)
}

// Local is the address of fd itself; none for a Unix socket, or if fd has no address.
func Local(fd int) Endpoint {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return Endpoint{}
	}
	return endpoint(sa)
}

// Peer is the address of the other end; none for a Unix socket, or if fd is not connected.
func Peer(fd int) Endpoint {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return Endpoint{}
	}
	return endpoint(sa)
}
