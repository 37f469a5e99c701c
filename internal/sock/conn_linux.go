package sock

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file never block, as all descriptors are O_NONBLOCK, and so they go past the scheduler
// (RawSyscall): entering and leaving a call that the runtime watches costs a loop up to 30 % of its CPU time. None of
// them allocates.

// Raw is an address as the kernel takes it, without pointers: it may live in memory that the collector does not know,
// for a call that reads it later. The zero Raw is no address.
type Raw struct {
	mem [28]uint32 // aligned for any sockaddr; 112 bytes are enough for sockaddr_un
	n   uint32
}

// Set encodes a. 0, or an error: ENAMETOOLONG for a path that does not fit, EINVAL for an address that is nowhere.
func (r *Raw) Set(a *Addr) syscall.Errno {
	if a.IsUnix() {
		sa := (*unix.RawSockaddrUnix)(unsafe.Pointer(&r.mem))
		if len(a.Path) >= len(sa.Path) {
			return unix.ENAMETOOLONG
		}
		*sa = unix.RawSockaddrUnix{Family: unix.AF_UNIX}
		for i := range len(a.Path) {
			sa.Path[i] = int8(a.Path[i])
		}
		r.n = uint32(unsafe.Offsetof(sa.Path)) + uint32(len(a.Path)) + 1
		return 0
	}
	if !a.AddrPort.IsValid() {
		return unix.EINVAL
	}
	r.setIP(a.AddrPort)
	return 0
}

func (r *Raw) setIP(a netip.AddrPort) {
	ip := a.Addr()
	if ip.Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&r.mem))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: htons(a.Port()), Addr: ip.As4()}
		r.n = unix.SizeofSockaddrInet4
		return
	}
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&r.mem))
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: htons(a.Port()), Addr: ip.As16(), Scope_id: zoneID(ip.Zone())}
	r.n = unix.SizeofSockaddrInet6
}

// Pointer and Len are what connect(2) takes.
func (r *Raw) Pointer() unsafe.Pointer { return unsafe.Pointer(&r.mem) }

// Len is the size of the address in bytes.
func (r *Raw) Len() uint32 { return r.n }

// endpoint is the address in r; the zero Endpoint for a Unix socket.
func (r *Raw) endpoint() Endpoint { return endpointAt(unsafe.Pointer(&r.mem)) }

// endpointAt is the address that the kernel has written to p.
func endpointAt(p unsafe.Pointer) Endpoint {
	switch (*unix.RawSockaddr)(p).Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(p)
		return endpoint4(sa.Addr, htons(sa.Port))
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(p)
		return endpoint6(sa.Addr, sa.Scope_id, htons(sa.Port))
	}
	return Endpoint{}
}

// htons turns a port from host to network order, or back.
func htons(p uint16) uint16 {
	b := [2]byte{byte(p >> 8), byte(p)}
	return *(*uint16)(unsafe.Pointer(&b))
}

func socket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

func setReusePort(fd int) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// Open makes a stream socket that is ready to connect to a: non-blocking, closed across exec, with the options set
// and bound where o asks for it. The error is a bare syscall.Errno, for it may come per connection.
func Open(a *Addr, o *Options) (int, error) {
	fam := family(a)
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(fam), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	fd := int(r)
	if o != nil && fam != unix.AF_UNIX {
		if e := o.apply(fd, fam); e != 0 {
			Close(fd)
			return -1, e
		}
	}
	return fd, nil
}

func (o *Options) apply(fd, fam int) syscall.Errno {
	if o.NoDelay {
		if e := setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); e != 0 {
			return e
		}
	}
	if o.Congestion != "" {
		setCongestion(fd, o.Congestion)
	}
	if !o.Bind.IsValid() || o.Bind.Addr().Is4() != (fam == unix.AF_INET) {
		return 0
	}
	if o.Transparent {
		if e := setTransparent(fd, fam == unix.AF_INET6); e != 0 {
			return e
		}
		// A port that is given may have connections that are past (TIME_WAIT): the kernel tells them apart.
		setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if o.Bind.Port() == 0 { // Linux 4.2; without it, a port per address instead of per connection. IPv6 shares it
		setInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	var raw Raw
	raw.setIP(o.Bind)
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(raw.Pointer()), uintptr(raw.Len()))
	return e
}

func setCongestion(fd int, name string) syscall.Errno {
	return setsockopt(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, unsafe.Pointer(unsafe.StringData(name)), len(name))
}

func setInt(fd, level, name int, v int32) syscall.Errno {
	return setsockopt(fd, level, name, unsafe.Pointer(&v), 4)
}

func setsockopt(fd, level, name int, p unsafe.Pointer, n int) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(p), uintptr(n), 0)
	return e
}

// Connect starts to connect fd to a. 0 means connected, EINPROGRESS under way; a Unix socket whose listener has a full
// queue gives EAGAIN.
func Connect(fd int, a *Addr) syscall.Errno {
	var raw Raw
	if e := raw.Set(a); e != 0 {
		return e
	}
	return ConnectRaw(fd, &raw)
}

// ConnectRaw is Connect with an address that has been encoded.
func ConnectRaw(fd int, r *Raw) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(r.Pointer()), uintptr(r.Len()))
	if e == unix.EINTR {
		return unix.EINPROGRESS // connect(2): it goes on
	}
	return e
}

// Accept takes one connection from listener fd: non-blocking, closed across exec. EAGAIN means that there is none.
// Errors of a connection that died in the queue are passed over, see accept(2).
func Accept(fd int) (int, Endpoint, syscall.Errno) {
	for {
		var raw Raw
		n := uint32(unsafe.Sizeof(raw.mem))
		r, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(raw.Pointer()), uintptr(unsafe.Pointer(&n)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e == 0 {
			return int(r), raw.endpoint(), 0
		}
		if e != unix.EINTR && !DiedInQueue(e) {
			return -1, Endpoint{}, e
		}
	}
}

// DiedInQueue tells whether e, from accept(2), belongs to a connection that died in the queue, so that one should
// go on with the next. See there, "Error handling".
func DiedInQueue(e syscall.Errno) bool {
	switch e {
	case unix.ECONNABORTED, unix.EPROTO, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET,
		unix.EHOSTUNREACH, unix.ENETUNREACH:
		return true
	}
	return false
}

// Recv reads into b, which is not empty. 0 bytes mean end of stream.
func Recv(fd int, b []byte) (int, syscall.Errno) {
	for {
		r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
		if e != unix.EINTR {
			return count(r, e)
		}
	}
}

// Send writes from b, without a signal.
func Send(fd int, b []byte) (int, syscall.Errno) {
	for {
		r, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return count(r, e)
		}
	}
}

func count(r uintptr, e syscall.Errno) (int, syscall.Errno) {
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Close closes fd. On Linux it is closed whatever close(2) says.
func Close(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Shutdown closes the write half.
func Shutdown(fd int) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return e
}

// SetAbort makes Close reset the connection (SO_LINGER 0).
func SetAbort(fd int) syscall.Errno {
	l := unix.Linger{Onoff: 1}
	return setsockopt(fd, unix.SOL_SOCKET, unix.SO_LINGER, unsafe.Pointer(&l), int(unsafe.Sizeof(l)))
}

// SetNoDelay sets TCP_NODELAY.
func SetNoDelay(fd int) syscall.Errno { return setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// InheritsNoDelay tells whether accepted sockets have TCP_NODELAY if their listener has it.
const InheritsNoDelay = true

// Error takes the pending error of fd (SO_ERROR): how a connect ended.
func Error(fd int) syscall.Errno {
	v, e := getInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if e != 0 {
		return e
	}
	return syscall.Errno(v)
}

func getInt(fd, level, name int) (int32, syscall.Errno) {
	var v, n int32 = 0, 4
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0)
	return v, e
}

// Local is the address of fd itself; none for a Unix socket, or if fd has no address.
func Local(fd int) Endpoint { return name(unix.SYS_GETSOCKNAME, fd) }

// Peer is the address of the other end; none for a Unix socket, or if fd is not connected.
func Peer(fd int) Endpoint { return name(unix.SYS_GETPEERNAME, fd) }

func name(call uintptr, fd int) Endpoint {
	var raw Raw
	n := uint32(unsafe.Sizeof(raw.mem))
	if _, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(raw.Pointer()), uintptr(unsafe.Pointer(&n))); e != 0 {
		return Endpoint{}
	}
	return raw.endpoint()
}
