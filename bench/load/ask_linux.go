package load

import (
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

// askAgain gives up requests of Ask that have had no answer for too long, and makes them once more.
func (c *client) askAgain(now time.Duration) error {
	if now < c.nextAsk {
		return nil
	}
	c.nextAsk = now + askEvery
	for fd := range c.conns {
		k := &c.conns[fd]
		if k.state != awaiting || k.group.Kind != Ask || now-k.due < askPatience {
			continue
		}
		k.group.errors++
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
		if g.Kind == Ask {
			return true
		}
	}
	return false
}

// listenDatagrams opens the backend's UDP socket at the address of its listener.
func (b *backend) listenDatagrams(addr netip.AddrPort) (err error) {
	b.datagrams, err = sock.ListenDatagram(&sock.DatagramOptions{Bind: addr, Buffer: askBuffer})
	b.batch = sock.NewBatch()
	return err
}

// answerDatagrams answers what has arrived, a number at a time so that connections are not starved.
func (b *backend) answerDatagrams() {
	ds, _ := b.batch.Recv(b.datagrams.FD(), askBatch)
	for i := range ds {
		if d := &ds[i]; len(d.Data) >= HeaderBytes {
			_, reply := header(d.Data)
			d.Data = b.zeros[:min(int(reply), sock.MaxDatagram)]
			b.batch.Send(b.datagrams.FD(), false, d)
		}
	}
	b.batch.Reset()
}
