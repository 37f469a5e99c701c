//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package ring

import (
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// readiness is the engine over a kernel that tells when a socket is ready (epoll, kqueue) and leaves the moving of
// bytes to us. A poller has the calls that differ.
//
// Sockets are registered once, edge-triggered, for both directions. An edge sets a flag on the socket (canRead,
// canWrite), our own EAGAIN clears it: so an operation that is submitted late starts at once, and no system call is
// needed to change one's mind. A socket that has both a flag and an operation for it is in the list active. Each turn
// tries every active socket once, one buffer or one batch of connections each, and delivers its completions before it
// goes on to the next, so that all of them use the same warm buffer and none starves another.
type readiness struct {
	core
	poll        poller
	engine      string
	multiAccept int
	look        func() bool // polls once, into got
	active      []Sock      // to be tried in the next turn
	trying      []Sock      // the other slice: active swaps with it
	got         int         // events that look has found
	gotErr      error
}

// events are what a poller reports and what it is asked for.
type events uint8

const (
	evRead   events = 1 << iota // data, end of stream, a connection, or an error
	evWrite                     // room, connected, or an error
	evHangup                    // the peer has sent its end of stream, or more
	evUrgent                    // urgent data is there: a read stops short at its mark
	evLevel                     // asked for only: report as long as it lasts, not once

	evAll = evRead | evWrite | evHangup | evUrgent
)

const (
	canRead sockFlags = 1 << iota
	canWrite
	isActive    // is in the list active
	noShort     // a short read does not tell that all is read
	wantNoDelay // a listener: set TCP_NODELAY on accepted sockets
)

// readBuf is large, for there is one of it in use at a time, and a system call per 64 KB costs little beside the copy.
const readBuf = 64 << 10

func newReadiness(engine string, o Options) (*readiness, error) {
	r := &readiness{engine: engine, multiAccept: o.MultiAccept}
	if r.multiAccept <= 0 {
		r.multiAccept = defaultMultiAccept
	}
	size := o.BufSize
	if size <= 0 {
		size = readBuf
	}
	if err := r.poll.open(); err != nil {
		return nil, err
	}
	r.core.init(size, r.poll.wake)
	r.look = func() bool {
		r.got, r.gotErr = r.poll.wait(0)
		return r.got != 0 || r.gotErr != nil
	}
	return r, nil
}

// Engine implements Loop.
func (r *readiness) Engine() string { return r.engine }

// Features implements Loop.
func (r *readiness) Features() []string { return r.poll.features() }

// HasFD implements Loop.
func (r *readiness) HasFD() bool { return true }

// FD implements Loop.
func (r *readiness) FD(s Sock) int { return int(r.sock(s).fd) }

// Local implements Loop.
func (r *readiness) Local(s Sock) netip.AddrPort {
	e := sock.Local(r.FD(s))
	return e.AddrPort()
}

// Run implements Loop.
func (r *readiness) Run() error {
	if err := r.start(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	for err == nil && !r.stopping() {
		err = r.turn()
	}
	r.Stop() // after an error: refuse posts
	r.drain()
	r.socks.each(func(so *socket) {
		if !so.listener && so.fd >= 0 {
			sock.Close(int(so.fd))
		}
	})
	r.retire()
	r.poll.close()
	return err
}

func (r *readiness) turn() error {
	posts := r.takePosts()
	d := r.waitTime()
	if posts != nil || len(r.active) > 0 {
		d = 0
	}
	n, err := r.wait(d)
	if err != nil {
		return err
	}
	r.turns++
	r.tick()
	for i := range n {
		r.note(r.poll.event(i))
	}
	r.tryActive()
	r.dispatch()
	r.expire()
	r.runPosts(posts)
	r.dispatch()
	return nil
}

// wait looks for events, and only if there are none it blocks. The look is cheap where the poller can go past the
// scheduler, and under load there is always something: the loop then never enters a call that the runtime watches.
func (r *readiness) wait(d time.Duration) (int, error) {
	n, err := r.poll.wait(0)
	if n != 0 || err != nil || d == 0 {
		return n, err
	}
	if r.spin(d, r.look) {
		return r.got, r.gotErr
	}
	if !r.sleep() {
		return 0, nil
	}
	defer r.awake()
	return r.poll.wait(d)
}

// note takes in one event. It calls no handler: all events of a turn are noted before any socket can be closed.
func (r *readiness) note(s Sock, ev events) {
	so := r.socks.get(s)
	if so == nil {
		return
	}
	if ev&(evHangup|evUrgent) != 0 {
		so.flags |= noShort
	}
	if ev&(evRead|evHangup) != 0 {
		so.flags |= canRead
		if so.live(OpReadable) {
			r.finish(so, OpReadable, 0, 0, 0)
		}
	}
	if ev&evWrite != 0 {
		so.flags |= canWrite
		if so.live(OpWritable) {
			r.finish(so, OpWritable, 0, 0, 0)
		}
	}
	r.activate(so)
}

// activate puts so in the list of the next turn if there is something to try.
func (r *readiness) activate(so *socket) {
	if so.flags&isActive == 0 && so.hasWork() {
		so.flags |= isActive
		r.active = append(r.active, so.name)
	}
}

func (so *socket) hasWork() bool {
	return so.flags&canRead != 0 && (so.live(OpRecv) || so.live(OpAccept) || so.live(OpReceive)) ||
		so.flags&canWrite != 0 && (so.live(OpSend) || so.live(OpConnect))
}

func (r *readiness) tryActive() {
	r.active, r.trying = r.trying[:0], r.active
	for _, s := range r.trying {
		so := r.socks.get(s)
		if so == nil {
			continue
		}
		so.flags &^= isActive
		if so.flags&canWrite != 0 {
			r.tryWrite(so)
		}
		if so.flags&canRead != 0 {
			r.tryRead(so)
		}
		r.dispatch()
		if so = r.socks.get(s); so != nil {
			r.activate(so)
		}
	}
	r.grams.flush()
}

func (r *readiness) tryWrite(so *socket) {
	switch {
	case so.live(OpConnect):
		r.finish(so, OpConnect, sock.Error(int(so.fd)), 0, 0)
	case so.live(OpSend):
		r.send(so)
	}
}

func (r *readiness) tryRead(so *socket) {
	switch {
	case so.live(OpRecv):
		r.recv(so)
	case so.live(OpAccept):
		r.accept(so)
	case so.live(OpReceive):
		so.flags &^= canRead
		r.receive(so)
	}
}

func (r *readiness) recv(so *socket) {
	b := r.bufs.alloc()
	mem := r.bufs.bytes(b)
	n, e := sock.Recv(int(so.fd), mem)
	if n > 0 {
		// A short read has emptied the socket, and the next byte is a new edge: this saves the call that would only
		// say EAGAIN. Not so if the end of the stream follows, whose edge has passed already.
		if n < len(mem) && shortReadDrains && so.flags&noShort == 0 {
			so.flags &^= canRead
		}
		r.more(so, OpRecv, n, b)
		return
	}
	r.bufs.release(b)
	if e == syscall.EAGAIN {
		so.flags &^= canRead
		return
	}
	r.finish(so, OpRecv, e, 0, 0)
}

// send writes until all is written or the socket is full. It does not stop at a short write: only EAGAIN makes sure
// that there will be an edge.
func (r *readiness) send(so *socket) {
	mem := r.bufs.bytes(so.buf)[:so.to]
	for so.from < so.to {
		n, e := sock.Send(int(so.fd), mem[so.from:])
		if e == syscall.EAGAIN {
			so.flags &^= canWrite
			r.require(so, evWrite)
			return
		}
		if e != 0 {
			r.finish(so, OpSend, e, int(so.sent), so.buf)
			return
		}
		so.from += int32(n)
		so.sent += int32(n)
	}
	r.finish(so, OpSend, 0, int(so.sent), so.buf)
}

func (r *readiness) accept(l *socket) {
	for range r.multiAccept {
		fd, peer, e := sock.Accept(int(l.fd))
		if e == syscall.EAGAIN {
			l.flags &^= canRead
			return
		}
		if e != 0 {
			r.finish(l, OpAccept, e, 0, 0)
			return
		}
		if l.flags&wantNoDelay != 0 {
			sock.SetNoDelay(fd)
		}
		so := r.open(fd, false)
		so.setPeer(peer)
		so.flags = canWrite | untrusted(&peer)
		if e := r.register(so, evAll); e != 0 {
			sock.Close(fd)
			r.discard(so)
			r.finish(l, OpAccept, e, 0, 0)
			return
		}
		r.moreAccept(l, so.name)
	}
}

// untrusted is noShort for a Unix socket: its reads also end where descriptors were sent along.
func untrusted(peer *sock.Endpoint) sockFlags {
	if peer.IsValid() {
		return 0
	}
	return noShort
}

// register tells the poller about so.
func (r *readiness) register(so *socket, ev events) syscall.Errno {
	e := r.poll.add(int(so.fd), so.name, ev)
	if e == 0 {
		so.mask = uint32(ev)
	}
	return e
}

// require makes sure that so reports ev, which a Readable or Writable may have switched off.
func (r *readiness) require(so *socket, ev events) {
	if events(so.mask)&ev != ev {
		r.poll.modify(int(so.fd), so.name, evAll) // cannot fail: it is registered
		so.mask = uint32(evAll)
	}
}
