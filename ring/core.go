package ring

import (
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// core is what all engines share: the tables of sockets, timers and buffers, the queue of completions, the mailbox
// of posts, the handlers. It makes no system call. An engine embeds it, inherits the verbs that need no kernel (Handle,
// After, StopTimer, Now, Post, Alloc, Bytes, Release, BufSize, Peer) and writes the others like this:
//
//	so := c.begin(s, OpRecv, t)            // check the contract, note the operation on the socket
//	c.more(so, OpRecv, n, buf)             // queue a completion with More
//	c.finish(so, OpRecv, errno, n, buf)    // queue the final completion
//
// and its Run like this:
//
//	if err := c.start(); err != nil { return err }
//	for !c.stopping() {
//		posts := c.takePosts()         // before the wait: they run after whatever was ready until then
//		wait(c.waitTime())             // 0, a time, or for ever; c.sleep and c.awake around a wait that blocks
//		c.tick()                       // read the clock
//		… finish and more …
//		c.dispatch()                   // completions to their handlers
//		c.expire()                     // timers that are due; their handlers may queue, see busy
//		c.runPosts(posts)
//	}
//	c.drain()                              // posts that were accepted before Stop
//	… close what c.each yields …
//	c.retire()                             // now Post and Stop no longer call wake
//
// An engine that needs more per socket keeps a slice beside, indexed by Sock.slot.
type core struct {
	// constant after init
	wake func() // ends the engine's wait from another goroutine; called with mu held

	// loop only
	handlers [256]Handler
	socks    slots
	queue    queue
	timers   wheel
	bufs     pool
	now      int64
	spinner  spinner
	pending  int // operations without their final completion delivered
	turns    uint64
	nposts   uint64
	grams    datagrams
	cur      Completion // what the handler sees: one place, so that nothing escapes to the heap

	// guarded by mu
	mu       sync.Mutex
	posts    []func()
	spare    []func() // the other slice, emptied: posts swaps with it
	sleeping bool     // the loop may be blocked in its wait
	stopped  bool
	retired  bool
	running  bool
}

// dispatchMax bounds one dispatch, because a handler that always finds its Send done at once would never let go.
const dispatchMax = 1024

func (c *core) init(bufSize int, wake func()) {
	c.wake = wake
	c.bufs.size, c.bufs.keep = bufSize, keepBufs
	c.timers.init()
	c.socks.init()
	c.tick()
	c.timers.advanceTo(c.now)
}

// epoch is the zero of Now for all loops, so that their times may be compared.
var epoch = time.Now()

func clock() int64 { return int64(time.Since(epoch)) + 1 }

// tick reads the clock. Once per turn.
func (c *core) tick() { c.now = clock() }

// Now implements Loop.
func (c *core) Now() int64 { return c.now }

// Handle implements Loop.
func (c *core) Handle(cl Class, h Handler) { c.handlers[cl] = h }

// open makes a socket in the table; fd is -1 where the engine has none.
func (c *core) open(fd int, listener bool) *socket {
	so := c.socks.alloc()
	so.fd = int32(fd)
	so.state = stateOpen
	so.listener = listener
	return so
}

// discard takes a socket from the table that never had an operation.
func (c *core) discard(so *socket) { c.socks.release(so) }

// sock is the socket of s, which the caller holds open or is closing.
func (c *core) sock(s Sock) *socket {
	so := c.socks.get(s)
	if so == nil {
		panic(fmt.Sprintf("ring: socket %#x is not open", uint32(s)))
	}
	return so
}

// begin notes that operation op with token t is pending on s. It panics where the caller breaks the contract.
func (c *core) begin(s Sock, op Op, t Token) *socket {
	so := c.sock(s)
	if so.state != stateOpen {
		panic("ring: " + op.String() + " after close")
	}
	if !so.takes(op) {
		panic("ring: " + op.String() + " on the wrong kind of socket")
	}
	p := so.side(op)
	if p.op != OpNone {
		panic("ring: " + op.String() + " while " + p.op.String() + " is pending")
	}
	*p = pendingOp{tok: t, op: op}
	if op == OpClose {
		so.state = stateClosing
	}
	c.pending++
	return so
}

// takes reports whether op is one for this kind of socket.
func (so *socket) takes(op Op) bool {
	switch {
	case op == OpClose:
		return true
	case so.datagram || op == OpReceive:
		return so.datagram && op == OpReceive
	}
	return so.listener == (op == OpAccept)
}

// live reports whether op is pending on so and its final completion not yet queued.
func (so *socket) live(op Op) bool {
	p := so.side(op)
	return p.op == op && !p.done
}

// more queues a completion of the multishot operation op, with more to follow.
func (c *core) more(so *socket, op Op, n int, b Buf) {
	c.queue.push(entry{owner: so.name, Completion: Completion{
		Token: so.side(op).tok, Op: op, More: true, N: n, Sock: so.name, Buf: b}})
}

// moreAccept queues a completion of the accept pending on listener so: the new socket got.
func (c *core) moreAccept(so *socket, got Sock) {
	c.queue.push(entry{owner: so.name, Completion: Completion{
		Token: so.read.tok, Op: OpAccept, More: true, Sock: got}})
}

// finish queues the final completion of op. Until it is delivered the operation still counts as pending.
func (c *core) finish(so *socket, op Op, err syscall.Errno, n int, b Buf) {
	p := so.side(op)
	p.done = true
	s := so.name
	if op == OpAccept {
		s = 0
	}
	c.queue.push(entry{owner: so.name, Completion: Completion{
		Token: p.tok, Op: op, Err: err, N: n, Sock: s, Buf: b}})
}

// cancelAll finishes what is live on so with ECANCELED, as Close does. A Send hands back its buffer.
func (c *core) cancelAll(so *socket) {
	for _, p := range [...]*pendingOp{&so.conn, &so.read, &so.write} {
		switch {
		case p.op == OpNone || p.done:
		case p.op == OpSend:
			c.finish(so, OpSend, syscall.ECANCELED, int(so.sent), so.buf)
		default:
			c.finish(so, p.op, syscall.ECANCELED, 0, 0)
		}
	}
}

// dispatch hands queued completions to their handlers, also those that the handlers cause, up to dispatchMax.
func (c *core) dispatch() {
	for i := 0; i < dispatchMax && c.queue.len() > 0; i++ {
		e := c.queue.pop()
		if !e.More {
			c.settle(&e)
		}
		c.deliver(&e.Completion)
	}
}

// deliver calls the handler of co, with a copy in the one place for it: a handler is an unknown function, so what it
// gets would escape to the heap.
func (c *core) deliver(co *Completion) {
	h := c.handlers[co.Token.Class()]
	if h == nil {
		panic(fmt.Sprintf("ring: no handler for class %d", co.Token.Class()))
	}
	c.cur = *co
	h.Complete(&c.cur)
}

// settle forgets an operation whose final completion is about to be delivered.
func (c *core) settle(e *entry) {
	c.pending--
	so := c.sock(e.owner)
	if e.Op == OpClose {
		c.socks.release(so)
		return
	}
	*so.side(e.Op) = pendingOp{}
}

// busy reports whether completions wait in the queue, so that the engine must not sleep.
func (c *core) busy() bool { return c.queue.len() > 0 }

// waitTime is how long the engine may sleep: 0 not at all, negative for ever. It is exact to a tick of the wheel.
func (c *core) waitTime() time.Duration {
	if c.busy() {
		return 0
	}
	next, ok := c.timers.next()
	if !ok {
		return -1
	}
	return time.Duration(max(next-clock(), 0))
}

// After implements Loop. It reads the clock itself, because Now may be as old as the turn and a timer is never early.
func (c *core) After(d time.Duration, t Token) Timer {
	return c.timers.add(clock()+max(int64(d), 0), t)
}

// StopTimer implements Loop.
func (c *core) StopTimer(t Timer) { c.timers.stop(t) }

// expire delivers the timers that are due. They do not pass the queue, so that StopTimer is exact: a handler can stop a
// timer that is due in the same turn.
func (c *core) expire() {
	for {
		t, ok := c.timers.pop(c.now)
		if !ok {
			return
		}
		c.deliver(&Completion{Token: t, Op: OpTimer})
	}
}

// Peer implements Loop.
func (c *core) Peer(s Sock) netip.AddrPort { return c.sock(s).peer.AddrPort() }

// BufSize implements Loop.
func (c *core) BufSize() int { return c.bufs.size }

// Alloc implements Loop.
func (c *core) Alloc() Buf { return c.bufs.alloc() }

// Bytes implements Loop.
func (c *core) Bytes(b Buf) []byte { return c.bufs.bytes(b) }

// Release implements Loop.
func (c *core) Release(b Buf) { c.bufs.release(b) }

// Stats implements Loop.
func (c *core) Stats() Stats {
	return Stats{
		Socks:   c.socks.used,
		Bufs:    c.bufs.lent,
		Timers:  c.timers.used,
		Pending: c.pending,
		Turns:   c.turns,
		Posts:   c.nposts,
		Sent:    c.grams.sent(),
		Lost:    c.grams.lost(),
	}
}
