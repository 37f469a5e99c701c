//go:build darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package sock

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// batchSys is nothing: these systems have no calls for several datagrams, or Go does not know them.
type batchSys struct{}

func (*Batch) init() {}

// Recv receives up to max datagrams of fd, one by one. EAGAIN means that there is none. It never blocks.
func (b *Batch) Recv(fd, max int) ([]Datagram, syscall.Errno) {
	first, max := b.room(max)
	for range max {
		n, from, err := unix.Recvfrom(fd, b.slot(b.used), 0)
		if e := errno(err); e == unix.EINTR {
			continue
		} else if e != 0 {
			if b.used == first {
				return nil, e
			}
			break
		}
		d := Datagram{Data: b.slot(b.used)[:n]}
		if from != nil {
			d.Remote = endpoint(from)
		}
		b.got[b.used] = d
		b.used++
	}
	return b.got[first:b.used], 0
}

// Unreachable takes the error of a connected socket: its peer could not be reached.
func (b *Batch) Unreachable(fd int) []Datagram {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if e == 0 || err != nil {
		return nil
	}
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return nil
	}
	first, _ := b.room(1)
	b.got[first] = Datagram{Remote: endpoint(sa), Err: syscall.Errno(e)}
	b.used++
	return b.got[first:b.used]
}

func (b *Batch) sendRun(run []outgoing) {
	for i := range run {
		b.sendOne(&run[i])
	}
}

func (b *Batch) sendOne(o *outgoing) {
	for range 2 {
		var err error
		if o.Remote.IsValid() {
			err = unix.Sendto(o.fd, o.Data, 0, o.Remote.sockaddr(o.six))
		} else {
			_, err = unix.Write(o.fd, o.Data)
		}
		switch e := errno(err); {
		case e == 0:
			b.Sent++
			return
		case e != unix.EINTR && !stale(e):
			b.Lost++
			return
		}
	}
	b.Lost++
}

// sockaddr encodes e for a socket of IPv6, or of IPv4.
func (e *Endpoint) sockaddr(six bool) unix.Sockaddr {
	if !six {
		return &unix.SockaddrInet4{Port: int(e.port), Addr: [4]byte(e.ip[12:])}
	}
	sa := &unix.SockaddrInet6{Port: int(e.port), Addr: e.ip, ZoneId: e.zone}
	if e.bits == 32 {
		sa.Addr[10], sa.Addr[11] = 0xff, 0xff
	}
	return sa
}

func datagramSocket(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// applySystem sets the receive buffer; the kernel may refuse more than its limit (kern.ipc.maxsockbuf), so less is tried.
func (o *DatagramOptions) applySystem(fd int) error {
	for n := o.Buffer; n >= 64<<10; n /= 2 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n) == nil {
			break
		}
	}
	return nil
}

// place binds and connects fd.
func (o *DatagramOptions) place(fd int) error {
	if err := unix.Bind(fd, sockaddrIP(o.Bind)); err != nil {
		return err
	}
	if o.Peer.IsValid() {
		return unix.Connect(fd, sockaddrIP(o.Peer))
	}
	return nil
}

func drops(int) uint64 { return 0 }
