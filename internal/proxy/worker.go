package proxy

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/header"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/tlsloop"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

// Worker is the part of a Proxy on one loop. All of it belongs to that loop's goroutine, save gated.
type Worker struct {
	proxy *Proxy
	loop  ring.Loop
	tls   *tlsloop.Loop // the same, if clients or servers speak TLS; else nil
	pump  *splice.Pump
	log   *sink.Producer
	index int32
	slab  slab
	epoch int64 // what to add to the loop's clock to get nanoseconds since 1970

	listeners []*listener
	parked    []ring.Sock // accepted, waiting for a place
	starved   []uint32    // sessions waiting for a descriptor, by slot
	gaveWay   bool        // one of them, or of the parked, was closed for the others since the last resume
	retry     ring.Timer
	dirty     uint32               // first session with traffic to hand over, slot+1
	idlers    idlers               // on the first worker
	rewriters []header.Rewriter    // by slot, for the sessions with http set
	requests  []*[chunkLen]request // by slot, for the sessions with asked set; nil unless records
	gated     atomic.Bool

	// scratch, so that nothing escapes to the heap for each connection
	addr sock.Addr
	opts sock.Options
	who  balance.Client
	line accesslog.Line
}

// listener is an attached listening socket.
type listener struct {
	src       *sock.Listener
	sock      ring.Sock
	accepting bool
	detached  func() // called once the loop no longer uses src; nil while it is in use
}

// NewWorker adds the part of p that runs on loop l. Call it before the loop runs; maxPipes bounds its pipes.
func (p *Proxy) NewWorker(l ring.Loop, maxPipes int) *Worker {
	i := p.workers.Len()
	w := &Worker{proxy: p, log: p.Log.Producer(i), index: int32(i)}
	if w.loop = l; p.TLS != nil || p.ServerTLS != nil {
		w.tls = tlsloop.New(l, classTLS, p.slots, w.secured)
		w.loop = w.tls
	}
	w.pump = splice.NewPump(w.loop, maxPipes)
	w.epoch = time.Now().UnixNano() - l.Now()
	for _, c := range []ring.Class{classSession, classListener, classOrphan, classRetry, classIdler} {
		w.loop.Handle(c, w)
	}
	p.workers.Add(w.loop, w)
	return w
}

// now is the time of the policy, in nanoseconds since 1970.
func (w *Worker) now() int64 { return w.loop.Now() + w.epoch }

// Listen starts to accept from l. On the loop, or before it runs.
func (w *Worker) Listen(l *sock.Listener) error {
	s, err := w.loop.Attach(l)
	if err != nil {
		return err
	}
	w.listeners = append(w.listeners, &listener{src: l, sock: s})
	w.admit()
	return nil
}

// Unlisten stops accepting from l and calls f once the loop no longer uses it. On the loop.
func (w *Worker) Unlisten(l *sock.Listener, f func()) {
	for i, x := range w.listeners {
		if x != nil && x.src == l {
			x.detached = f
			w.loop.Close(x.sock, ring.NewToken(classListener, uint64(i)))
			return
		}
	}
	f()
}

// Close frees what the worker still holds after its loop has ended.
func (w *Worker) Close() {
	for s := range w.slab.live() {
		w.record(s, withProgram)
	}
	if w.tls != nil {
		w.tls.Wait()
	}
	w.pump.Close()
}

// Complete takes every completion of the loop.
func (w *Worker) Complete(c *ring.Completion) {
	switch c.Token.Class() {
	case classSession:
		if s := w.slab.lookup(c.Token); s != nil {
			w.session(s, c)
		} else if c.Buf != 0 {
			w.loop.Release(c.Buf)
		}
	case classListener:
		w.accepted(c)
	case classOrphan:
		if c.Buf != 0 {
			w.loop.Release(c.Buf)
		}
		if c.Op == ring.OpClose && c.Token.Value() != orphanWithoutFD {
			w.proxy.wake() // a descriptor is free
		}
	case classRetry:
		w.retry = 0
		w.proxy.wake()
	case classIdler:
		w.idler(c)
	}
}

// accepted takes the completions of listeners.
func (w *Worker) accepted(c *ring.Completion) {
	i := int(c.Token.Value())
	ln := w.listeners[i]
	switch {
	case c.Op == ring.OpClose:
		w.listeners[i] = nil
		ln.detached()
	case c.Sock != 0:
		w.arrive(c.Sock)
		if !c.More {
			ln.accepting = false
			w.admit()
		}
	default:
		ln.accepting = false
		switch {
		case c.Err == 0 || c.Err == syscall.ECANCELED:
			if !w.gated.Load() { // the gate has opened again meanwhile
				w.admit()
			}
		case outOfFiles(c.Err):
			w.exhausted(c.Err)
		default:
			// Everything else, such as ECONNABORTED, is the fault of one connection. A pause keeps an error
			// that stays from spinning.
			w.proxy.Debugf(1, "accept: %v", c.Err)
			w.wait()
		}
	}
}

// arrive takes a new connection, or parks it when there is no place.
func (w *Worker) arrive(down ring.Sock) {
	st := w.proxy.Settings.Get()
	if len(w.parked) > 0 || len(w.starved) > 0 || !w.proxy.open(st) || !w.begin(down, st) {
		w.parked = append(w.parked, down)
		w.stop()
		return
	}
	if !w.proxy.open(st) {
		w.stop()
	}
}

// stop leaves further connections in the listen queue until there is a place.
func (w *Worker) stop() {
	for _, ln := range w.listeners {
		if ln != nil && ln.accepting {
			w.loop.Cancel(ln.sock, ring.OpAccept)
		}
	}
	if w.gated.CompareAndSwap(false, true) {
		w.proxy.gated.Add(1)
	}
	// A place may have been freed before the others could see that we wait.
	if st := w.proxy.Settings.Get(); len(w.starved) == 0 && w.proxy.open(st) {
		w.proxy.wake()
	}
}

// resume serves who waits, oldest first, and accepts again if there is still a place.
func (w *Worker) resume() {
	w.gaveWay = false
	st := w.proxy.Settings.Get()
	for n := len(w.starved); n > 0; n-- {
		s := w.slab.at(w.starved[0])
		w.starved = slices.Delete(w.starved, 0, 1)
		if s.state != waiting {
			continue
		}
		w.choose(s, st)
		if s.state == waiting { // still none: it is at the end of the queue now, and keeps its turn
			last := len(w.starved) - 1
			w.starved = slices.Insert(w.starved[:last], 0, s.slot)
			return
		}
	}
	for len(w.parked) > 0 {
		if len(w.starved) > 0 || !w.proxy.open(st) {
			w.stop()
			return
		}
		down := w.parked[0] // no longer among those that exhausted may close
		w.parked = slices.Delete(w.parked, 0, 1)
		if !w.begin(down, st) {
			w.parked = slices.Insert(w.parked, 0, down)
			w.stop()
			return
		}
	}
	w.admit()
}

// admit accepts on all listeners, if there is a place.
func (w *Worker) admit() {
	if len(w.parked) > 0 || len(w.starved) > 0 || !w.proxy.open(w.proxy.Settings.Get()) {
		w.stop()
		return
	}
	for i, ln := range w.listeners {
		if ln != nil && !ln.accepting && ln.detached == nil {
			ln.accepting = true
			w.loop.Accept(ln.sock, ring.NewToken(classListener, uint64(i)))
		}
	}
}

// exhausted notes that no descriptor was to be had: nothing is accepted until one is closed, or after a pause, since
// it may be another process that frees one.
func (w *Worker) exhausted(err error) {
	w.proxy.short(err)
	w.wait()
	if len(w.starved) > 0 {
		w.giveWay()
	}
}

// giveWay closes the newest client that waits, so that its descriptor can serve another who does: otherwise those who
// wait could hold all descriptors and nobody would ever go on. Before the next resume one is enough.
func (w *Worker) giveWay() {
	if w.gaveWay {
		return
	}
	if n := len(w.parked); n > 0 {
		w.loop.Abort(w.parked[n-1])
		w.loop.Close(w.parked[n-1], ring.NewToken(classOrphan, 0))
		w.parked = w.parked[:n-1]
		w.gaveWay = true
	}
	for n := len(w.starved); n > 0 && !w.gaveWay; n-- {
		s := w.slab.at(w.starved[n-1])
		w.starved = w.starved[:n-1]
		if s.state == waiting { // else it was closed meanwhile
			w.loop.Abort(s.down)
			w.finish(s, noDescriptor)
			w.gaveWay = true
		}
	}
}

// retryPause is how long a worker that lacks descriptors waits for another process, or for a peer that has not been heard
// of, to free one.
const retryPause = 100 * time.Millisecond

// wait closes the gate of this worker until somebody frees a place or a pause has passed.
func (w *Worker) wait() {
	if w.gated.CompareAndSwap(false, true) {
		w.proxy.gated.Add(1)
	}
	if w.retry == 0 {
		w.retry = w.loop.After(retryPause, ring.NewToken(classRetry, 0))
	}
}

// outOfFiles reports whether err means that the process or the system lacks descriptors or memory for sockets.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// refresh follows a change of the settings: idlers, and the idle timeout and logging of the sessions that exist.
func (w *Worker) refresh() {
	st := w.proxy.Settings.Get()
	if w.index == 0 {
		w.setIdlers(st)
	}
	if !w.records() {
		w.requests = nil
	}
	for s := range w.slab.live() {
		if s.state == relaying {
			w.tap(s, st)
			if s.timer == 0 {
				w.watch(s, st)
			}
		}
	}
}

// touch notes that s has traffic to hand over.
func (w *Worker) touch(s *session) {
	if s.dirty {
		return
	}
	s.dirty, s.prev, s.next = true, 0, w.dirty
	if w.dirty != 0 {
		w.slab.at(w.dirty - 1).prev = s.slot + 1
	}
	w.dirty = s.slot + 1
}

// flush hands the traffic of all sessions to the policy.
func (w *Worker) flush() {
	for w.dirty != 0 {
		w.settle(w.slab.at(w.dirty - 1))
	}
}

// settle hands the traffic of s to the policy.
func (w *Worker) settle(s *session) {
	if !s.dirty {
		return
	}
	if s.prev != 0 {
		w.slab.at(s.prev - 1).next = s.next
	} else {
		w.dirty = s.next
	}
	if s.next != 0 {
		w.slab.at(s.next - 1).prev = s.prev
	}
	s.dirty = false
	up, down := s.relay.Bytes(splice.Up), s.relay.Bytes(splice.Down)
	if s.server != balance.None {
		w.proxy.Servers.AddTraffic(int(s.server), up-s.sent[splice.Up], down-s.sent[splice.Down])
	}
	w.proxy.Clients.Add(s.client, down-s.sent[splice.Down], up-s.sent[splice.Up])
	s.sent = [2]uint64{splice.Up: up, splice.Down: down}
}

// info describes s.
func (w *Worker) info(s *session) ConnInfo {
	ci := ConnInfo{
		Number: int(s.number), DownFD: w.loop.FD(s.down), UpFD: -1, Client: s.client.Index(), Server: int(s.server),
		PendingUp: s.relay.Pending(w.pump, splice.Up), PendingDown: s.relay.Pending(w.pump, splice.Down),
	}
	if s.up != 0 {
		ci.UpFD = w.loop.FD(s.up)
	}
	switch s.state {
	case securing, waiting, connecting:
		ci.State = 1
	case relaying, answering:
		ci.State = 2
		if s.relay.Ended(splice.Down) {
			ci.State |= 4
		}
		if s.relay.Ended(splice.Up) {
			ci.State |= 8
		}
	}
	return ci
}

// fastClose maps the setting to the relay's sides.
func fastClose(f settings.FastClose) (s splice.Side) {
	if f&settings.FastCloseUp != 0 {
		s |= splice.UpSide
	}
	if f&settings.FastCloseDown != 0 {
		s |= splice.DownSide
	}
	return s
}
