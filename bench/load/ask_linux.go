package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
)

const (
	// askPatience is how long a client of Ask waits for an answer before it counts the request as lost and asks again.
	askPatience = 250 * time.Millisecond
	askEvery    = 50 * time.Millisecond // how often they look
	askBuffer   = 4 << 20               // of the backend, in bytes: it must not be the one that loses
	askBatch    = 32                    // datagrams that the backend takes at a time
)

// datagramSocket makes a non-blocking IPv4 UDP socket.
func datagramSocket() (int32, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	return int32(fd), nil
}

// freshSocket makes a UDP socket at an address and port that no earlier one had.
func (c *client) freshSocket() (int32, error) {
	const low, ports = 1024, 1<<16 - 1024
	fd, err := datagramSocket()
	if err != nil {
		return -1, err
	}
	for {
		host, port := c.fresh/ports, c.fresh%ports
		c.fresh++
		at := syscall.SockaddrInet4{Port: int(low + port), Addr: [4]byte{127, byte(1 + host>>16), byte(host >> 8), byte(host)}}
		if err = syscall.Bind(int(fd), &at); !errors.Is(err, syscall.EADDRINUSE) { // by another program
			break
		}
	}
	if err != nil {
		closeFD(fd)
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, nil
}

// askAgain gives up requests of Ask that have had no answer for too long, and makes them once more.
func (c *client) askAgain(now time.Duration) error {
	if now < c.nextAsk {
		return nil
	}
	c.nextAsk = now + askEvery
	for fd := range c.conns {
		k := &c.conns[fd]
		if k.state == several {
			c.againSeveral(int32(fd), k, now)
		}
		if k.state != awaiting || !k.group.datagrams() || now-k.due < askPatience {
			continue
		}
		k.group.errors++
		if k.group.Kind == AskOnce {
			g := k.group
			closeFD(int32(fd))
			*k = conn{}
			if err := c.connect(g, now); err != nil {
				return err
			}
			continue
		}
		k.due, k.sent, k.got = now, 0, 0
		if err := c.send(int32(fd), k); err != nil {
			return err
		}
	}
	return nil
}

// asksDatagrams reports whether any group does.
func (c *client) asksDatagrams() bool {
	for _, g := range c.groups {
		if g.datagrams() {
			return true
		}
	}
	return false
}

// listenDatagrams opens the backend's UDP socket at the address of its listener.
func (b *backend) listenDatagrams(addr netip.AddrPort) (err error) {
	b.datagrams, err = sock.ListenDatagram(&sock.DatagramOptions{Bind: addr, Buffer: askBuffer, Coalesce: true})
	b.batch = sock.NewBatch()
	return err
}

// answerDatagrams answers what has arrived, a number at a time so that connections are not starved.
func (b *backend) answerDatagrams() {
	ds, _ := b.batch.Recv(b.datagrams.FD(), askBatch)
	for i := range ds {
		d := &ds[i]
		step := len(d.Data)
		if d.Segment > 0 {
			step = d.Segment
		}
		for one := d.Data; len(one) >= HeaderBytes; one = one[min(step, len(one)):] {
			b.answerDatagram(d, one)
		}
	}
	b.batch.Reset()
}

// answerDatagram answers one, which came with d. What the answer begins with is the request, whose memory it has.
func (b *backend) answerDatagram(d *sock.Datagram, one []byte) {
	_, reply := header(one)
	switch reply {
	case silence:
		b.counted++
		return
	case tally:
		binary.LittleEndian.PutUint64(one, b.counted)
		reply = HeaderBytes + numberBytes
	}
	b.batch.Send(b.datagrams.FD(), false, &sock.Datagram{Data: one[:min(int(reply), cap(one))], Remote: d.Remote})
}
