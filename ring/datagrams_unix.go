//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package ring

import (
	"github.com/penlb/pen/internal/sock"
)

const (
	// hotTurns is how often in a row a socket has to have had something before it is asked for several at once. To
	// always ask for several costs 7 % where there is only one.
	hotTurns = 2
	// batchMost is how many datagrams a hot socket is asked for: half of a batch, so that what came from one socket
	// can be sent while the next is being received from.
	batchMost = 32
)

// receive takes what has arrived on so, once, and hands it to the handler of its Receive.
func (c *core) receive(so *socket) {
	b, most := c.grams.in(), 1
	if so.hot >= hotTurns {
		most = batchMost
	}
	ds, e := b.Recv(int(so.fd), most)
	turn := uint32(c.turns)
	switch {
	case most > 1 && len(ds) > 1:
	case most > 1 || turn-so.seen > 1:
		so.hot = 0
	default:
		so.hot++
	}
	so.seen = turn
	if e != 0 { // EAGAIN, too: there was a reason to look
		ds = b.Unreachable(int(so.fd))
	}
	if len(ds) > 0 {
		c.arrived(so, ds)
	}
}

// Transmit implements Loop.
func (c *core) Transmit(s Sock, d *sock.Datagram) {
	so := c.gram(s)
	c.grams.in().Send(int(so.fd), so.six, d)
}

// gram is the UDP socket s.
func (c *core) gram(s Sock) *socket {
	so := c.sock(s)
	if !so.datagram || so.state != stateOpen {
		panic("ring: transmit on a socket that is closed, or not one of UDP")
	}
	return so
}

// openDatagrams opens a UDP socket of the loop's own.
func (c *core) openDatagrams(o *sock.DatagramOptions) (*socket, error) {
	fd, err := sock.OpenDatagram(o)
	if err != nil {
		return nil, err
	}
	so := c.openGram(fd, !o.Bind.Addr().Is4(), false)
	so.setPeer(sock.EndpointOf(o.Peer))
	return so, nil
}
