package splice

import "github.com/penlb/pen/ring"

// Token classes of the tests.
const (
	classAccept ring.Class = 1
	classOwner  ring.Class = 2
)

// owner does with a relay what its owner has to: it closes at Done, and from then on hands completions to Drop. All
// belongs to the loop.
type owner struct {
	pump     *Pump
	relay    Relay
	down, up ring.Sock
	token    ring.Token
	// chunk takes the tapped pieces instead of Push; may be nil.
	chunk func(d Dir, c *ring.Completion) Event
	done  bool   // the relay said so
	open  int    // sockets whose OpClose is awaited; 0 before the close
	ended func() // called after the last OpClose; may be nil

	closing bool
}

func (o *owner) start(fast Side) {
	o.relay.Start(o.pump, o.down, o.up, o.token, fast)
}

// Complete implements ring.Handler.
func (o *owner) Complete(c *ring.Completion) {
	switch {
	case o.closing && c.Op == ring.OpClose:
		if o.open--; o.open == 0 && o.ended != nil {
			o.ended()
		}
		return
	case o.closing:
		o.relay.Drop(o.pump, c)
		return
	}
	ev := o.relay.Complete(o.pump, c)
	if ev == Chunk {
		d := Up
		if c.Sock == o.up {
			d = Down
		}
		if o.chunk != nil {
			ev = o.chunk(d, c)
		} else {
			ev = o.relay.Push(o.pump, d, c.Buf, 0, c.N)
		}
	}
	if ev == Done {
		o.done = true
		o.close()
	}
}

func (o *owner) close() {
	o.closing, o.open = true, 2
	o.relay.Close(o.pump)
	o.pump.Loop().Close(o.down, o.token)
	o.pump.Loop().Close(o.up, o.token)
}

// nodesOut counts the queue nodes that are in use.
func (p *Pump) nodesOut() int {
	n := len(p.nodes) - 1
	for i := p.free; i != 0; i = p.nodes[i].next {
		n--
	}
	return n
}
