package splice

import (
	"syscall"

	"github.com/penlb/pen/ring"
)

// Dir is the direction of a flow.
type Dir uint8

// The directions, in pen's words.
const (
	Up   Dir = 0 // from the client to the server
	Down Dir = 1 // from the server to the client
)

// Side selects sides of a relay, as a set.
type Side uint8

// The sides.
const (
	UpSide   Side = 1 // the server
	DownSide Side = 2 // the client
)

// Event tells the owner of a relay what to do after a completion.
type Event uint8

// The events.
const (
	None  Event = iota // nothing to do
	Chunk              // a tapped piece arrived in the completion's Buf: hand it on with Push, or Release it
	Done               // both flows have ended; close the sockets
)

// Relay is the state of one connection. The zero Relay is not started.
type Relay struct {
	sock  [2]ring.Sock // source of the flow of that direction: sock[Up] is the client's, sock[Down] the server's
	token ring.Token
	flow  [2]flow
	fast  Side // sides whose end of stream ends the relay
}

// flow is one direction.
type flow struct {
	bytes uint64 // sent to the destination
	head  uint32 // queue of received pieces, oldest first: nodes of the pump, 0 is none
	tail  uint32
	pipe  int32 // pipe of the pump with bytes inside, 0 is none
	piped int32 // bytes inside it
	err   syscall.Errno
	flags flags
	held  uint16 // length of the queue, the piece being sent included
	full  uint8  // full buffers in a row
	small uint8  // small splices in a row
}

type flags uint16

const (
	receiving flags = 1 << iota // Recv is pending
	stopping                    // and was cancelled
	sending                     // Send is pending
	waitIn                      // Readable is pending
	waitOut                     // Writable is pending
	ended                       // the source has ended
	deaf                        // the destination takes nothing any more
	done                        // the end has been handed on
	tapped                      // pieces go through the owner
	wantPipe                    // turn to pipe as soon as nothing is pending
	piping                      // strategy pipe
	copying                     // strategy copy for good
)

func (f *flow) has(x flags) bool { return f.flags&x != 0 }

// Start begins to move bytes between down, the client's socket, and up, the server's. The sockets stay the owner's.
// Completions of the token go to Complete. The sides in fast end the relay when they end their stream.
func (r *Relay) Start(p *Pump, down, up ring.Sock, t ring.Token, fast Side) {
	r.sock = [2]ring.Sock{Up: down, Down: up}
	r.token, r.fast = t, fast
	p.receive(r, Up)
	p.receive(r, Down)
}

// Tap makes each piece that arrives in direction d through user space an event of its owner, or ends that. What is
// spliced passes unseen.
func (r *Relay) Tap(d Dir, on bool) {
	if on {
		r.flow[d].flags |= tapped
	} else {
		r.flow[d].flags &^= tapped
	}
}

// KeepCopying keeps direction d in strategy copy, for an owner that has to see, or change, all that passes. With on
// false it may turn to pipe again.
func (r *Relay) KeepCopying(d Dir, on bool) {
	if on {
		r.flow[d].flags |= copying
	} else {
		r.flow[d].flags &^= copying
	}
}

// Bytes is the number of bytes sent in direction d.
func (r *Relay) Bytes(d Dir) uint64 { return r.flow[d].bytes }

// Pending is the number of bytes of direction d that have been received and not yet sent.
func (r *Relay) Pending(p *Pump, d Dir) int {
	f := &r.flow[d]
	n := int(f.piped)
	for i := f.head; i != 0; i = p.nodes[i].next {
		n += int(p.nodes[i].n)
	}
	return n
}

// Ended reports whether the source of direction d has sent its end of stream or failed.
func (r *Relay) Ended(d Dir) bool { return r.flow[d].has(ended) }

// Err is why the source of direction d ended: 0 for an ordinary end of stream.
func (r *Relay) Err(d Dir) syscall.Errno { return r.flow[d].err }

// Complete takes a completion of the relay's token (Recv, Send, Readable or Writable) and goes on from there.
func (r *Relay) Complete(p *Pump, c *ring.Completion) Event {
	d := Up
	if (c.Sock == r.sock[Down]) == (c.Op == ring.OpRecv || c.Op == ring.OpReadable) {
		d = Down
	}
	f := &r.flow[d]
	switch c.Op {
	case ring.OpRecv:
		if !c.More {
			f.flags &^= receiving | stopping
		}
		switch {
		case c.N > 0:
			p.measure(r, d, c.N)
			if f.has(tapped) {
				return Chunk
			}
			return r.Push(p, d, c.Buf, 0, c.N)
		case c.Err == 0:
			f.flags |= ended
		case c.Err != syscall.ECANCELED:
			r.fail(p, d, c.Err)
		}
	case ring.OpSend:
		f.flags &^= sending
		f.bytes += uint64(c.N)
		p.pop(f)
		p.loop.Release(c.Buf)
		if c.Err != 0 {
			r.deafen(p, d)
		}
	case ring.OpReadable:
		f.flags &^= waitIn
	case ring.OpWritable:
		f.flags &^= waitOut
	}
	return r.step(p, d)
}

// Push hands n bytes of b, from off, to direction d, after all that came before. It takes b.
func (r *Relay) Push(p *Pump, d Dir, b ring.Buf, off, n int) Event {
	f := &r.flow[d]
	if f.has(deaf|done) || n == 0 {
		p.loop.Release(b)
		return r.step(p, d)
	}
	p.push(f, b, off, n)
	if f.held >= p.held && f.flags&(receiving|stopping) == receiving {
		f.flags |= stopping
		p.loop.Cancel(r.sock[d], ring.OpRecv)
	}
	return r.step(p, d)
}

// Drop releases what a completion hands over once the relay is being closed. The owner calls it instead of Complete
// from Close on.
func (r *Relay) Drop(p *Pump, c *ring.Completion) {
	if c.Buf == 0 {
		return
	}
	if c.Op == ring.OpSend {
		d := Up
		if c.Sock == r.sock[Up] {
			d = Down
		}
		p.pop(&r.flow[d])
	}
	p.loop.Release(c.Buf)
}

// Close gives up what the relay holds, save for pieces that are being sent: those come back through Drop. The owner
// closes the sockets next.
func (r *Relay) Close(p *Pump) {
	for d := range r.flow {
		f := &r.flow[d]
		f.flags |= deaf | done
		p.clear(f)
	}
}

// step takes direction d on: it sends what can be sent, hands on the end, or goes on reading.
func (r *Relay) step(p *Pump, d Dir) Event {
	f := &r.flow[d]
	if f.has(wantPipe) && !f.has(receiving|sending|ended|deaf) && f.head == 0 {
		f.flags = f.flags&^wantPipe | piping
	}
	switch {
	case f.has(done | sending | deaf):
	case f.head != 0:
		f.flags |= sending
		n := &p.nodes[f.head]
		p.loop.Send(r.sock[1-d], n.buf, int(n.off), int(n.n), r.token)
	case f.has(piping) && !f.has(waitIn|waitOut|ended):
		p.transfer(r, d)
	}
	switch {
	case f.has(done | sending):
	case f.has(deaf): // before, or since transfer
		f.flags |= done
	case f.has(ended) && f.head == 0 && f.pipe == 0:
		f.flags |= done
		if !r.flow[1-d].has(done) { // else the owner closes both sockets now, which says the same
			p.loop.Shutdown(r.sock[1-d])
		}
	}
	if !f.has(done|ended|receiving|piping|sending) && f.head == 0 {
		p.receive(r, d)
	}
	if r.over() {
		return Done
	}
	return None
}

// over reports whether nothing is left to do.
func (r *Relay) over() bool {
	up, down := &r.flow[Up], &r.flow[Down]
	if up.has(done) && down.has(done) {
		return true
	}
	// tcp_fastclose: the end of one side ends both, once what is in our hands has gone out.
	return (r.fast&DownSide != 0 && up.has(done) && up.has(ended) && down.idle()) ||
		(r.fast&UpSide != 0 && down.has(done) && down.has(ended) && up.idle())
}

// idle reports whether the flow holds no bytes.
func (f *flow) idle() bool { return f.head == 0 && f.pipe == 0 }

// fail notes that the source of d is dead: nothing more comes from it, and nothing more goes to it.
func (r *Relay) fail(p *Pump, d Dir, err syscall.Errno) {
	r.flow[d].err = err
	r.flow[d].flags |= ended
	r.deafen(p, 1-d)
	if !r.flow[1-d].has(sending) {
		r.flow[1-d].flags |= done
	}
}

// deafen notes that the destination of d takes nothing any more.
func (r *Relay) deafen(p *Pump, d Dir) {
	f := &r.flow[d]
	f.flags |= deaf
	p.clear(f)
	if f.flags&(receiving|stopping) == receiving {
		f.flags |= stopping
		p.loop.Cancel(r.sock[d], ring.OpRecv)
	}
}
