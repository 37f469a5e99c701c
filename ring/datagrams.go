package ring

import (
	"github.com/penlb/pen/internal/sock"
)

// datagrams is what UDP needs of a loop: the memory that datagrams pass through, and those that are being handled.
type datagrams struct {
	batch *sock.Batch // nil until the first UDP socket
	now   []sock.Datagram
}

// in is the batch.
func (g *datagrams) in() *sock.Batch {
	if g.batch == nil {
		g.batch = sock.NewBatch()
	}
	return g.batch
}

// flush sends what was transmitted. Nothing that was received before is valid any more.
func (g *datagrams) flush() {
	if g.batch != nil {
		g.batch.Reset()
	}
}

func (g *datagrams) sent() uint64 {
	if g.batch == nil {
		return 0
	}
	return g.batch.Sent
}

func (g *datagrams) lost() uint64 {
	if g.batch == nil {
		return 0
	}
	return g.batch.Lost
}

// Datagrams implements Loop.
func (c *core) Datagrams() []sock.Datagram { return c.grams.now }

// openGram makes an entry in the table for a UDP socket.
func (c *core) openGram(fd int, six, attached bool) *socket {
	so := c.open(fd, attached)
	so.datagram, so.six = true, six
	return so
}

// arrived hands ds to the handler of the Receive that is pending on so. It does not pass the queue, so that the
// memory is free again as soon as the handler has sent them on: the next datagrams find it in the cache.
func (c *core) arrived(so *socket, ds []sock.Datagram) {
	c.grams.now = ds
	c.deliver(&Completion{Token: so.read.tok, Op: OpReceive, More: true, N: len(ds), Sock: so.name})
	c.grams.now = nil
	if b := c.grams.batch; b != nil && !b.Pending() {
		b.Reset()
	}
}
