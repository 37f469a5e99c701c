//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// OpenDatagram opens a UDP socket: non-blocking, closed across exec, bound and with the options set. The error is a
// bare syscall.Errno.
func OpenDatagram(o *DatagramOptions) (int, error) {
	fam := unix.AF_INET
	if o.six() {
		fam = unix.AF_INET6
	}
	fd, err := datagramSocket(fam)
	if err != nil {
		return -1, err
	}
	if err := o.open(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (o *DatagramOptions) open(fd int) error {
	if o.ReusePort {
		if err := setReusePort(fd); err != nil {
			return err
		}
	}
	if o.Transparent {
		if err := SetTransparent(fd, o.six()); err != nil {
			return err
		}
	}
	if err := o.applySystem(fd); err != nil {
		return err
	}
	return o.place(fd)
}

// DatagramSocket is a UDP socket that is owned by whoever opened it, as a [Listener] is.
type DatagramSocket struct {
	fd   int // -1 after Close
	six  bool
	addr Addr
}

// ListenDatagram opens a UDP socket. The errno stays in the error.
func ListenDatagram(o *DatagramOptions) (*DatagramSocket, error) {
	fd, err := OpenDatagram(o)
	if err != nil {
		return nil, fmt.Errorf("bind %v: %w", o.Bind, err)
	}
	l := Local(fd)
	return &DatagramSocket{fd: fd, six: o.six(),
		addr: Addr{AddrPort: netip.AddrPortFrom(o.Bind.Addr(), l.port)}}, nil
}

// FD is the descriptor; d keeps owning it.
func (d *DatagramSocket) FD() int { return d.fd }

// Six reports whether d is a socket of IPv6.
func (d *DatagramSocket) Six() bool { return d.six }

// Addr is where d is bound, with the port that was chosen if 0 was asked for.
func (d *DatagramSocket) Addr() Addr { return d.addr }

// Drops is how many datagrams the system has thrown away because nobody took them in time; 0 where it does not tell.
func (d *DatagramSocket) Drops() uint64 {
	if d.fd < 0 {
		return 0
	}
	return drops(d.fd)
}

// Close closes d. A second Close gives an error that is net.ErrClosed.
func (d *DatagramSocket) Close() error {
	if d.fd < 0 {
		return net.ErrClosed
	}
	fd := d.fd
	d.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// UDPConn is the same socket for package net, over a duplicate of the descriptor: closing it leaves d open.
func (d *DatagramSocket) UDPConn() (*net.UDPConn, error) {
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	f := os.NewFile(uintptr(fd), d.addr.String())
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// SourceTo is the local address that the system would send from to reach a; invalid if it knows no way.
func SourceTo(a netip.Addr) netip.Addr {
	wild := netip.IPv4Unspecified()
	if !a.Is4() {
		wild = netip.IPv6Unspecified()
	}
	// connect(2) of UDP only looks up the route; the discard port stands for any.
	fd, err := OpenDatagram(&DatagramOptions{Bind: netip.AddrPortFrom(wild, 0), Peer: netip.AddrPortFrom(a, 9)})
	if err != nil {
		return netip.Addr{}
	}
	defer unix.Close(fd)
	l := Local(fd)
	return l.AddrPort().Addr()
}
