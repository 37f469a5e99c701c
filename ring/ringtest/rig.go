package ringtest

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// patience is how long a test waits for what must happen before it gives up.
const patience = 20 * time.Second

// class is the one of all tokens of a rig.
const class ring.Class = 7

// rig is a running loop, with a record of its completions. Its verbs may be called from the goroutine of the test:
// each runs on the loop and waits until it has been submitted. Every operation gets a token of its own.
type rig struct {
	t    testing.TB
	l    ring.Loop
	done chan error // the outcome of Run

	mu      sync.Mutex
	last    uint64
	results map[ring.Token][]result
	ended   map[ring.Token]bool // the final completion was seen
	hooks   map[ring.Token]func(*ring.Completion)
	changed chan struct{} // closed and made anew by each result
	seq     int
}

// result is a completion, with a copy of its data.
type result struct {
	ring.Completion
	data  []byte
	grams []sock.Datagram
	seq   int // counts all completions of the rig
}

// newRig starts a loop that is stopped, and whose leavings are counted, when the test ends.
func newRig(t testing.TB, open func(testing.TB) ring.Loop) *rig {
	t.Helper()
	before := openFiles()
	ignore := goleak.IgnoreCurrent()
	r := &rig{
		t:       t,
		l:       open(t),
		done:    make(chan error, 1),
		results: make(map[ring.Token][]result),
		ended:   make(map[ring.Token]bool),
		hooks:   make(map[ring.Token]func(*ring.Completion)),
		changed: make(chan struct{}),
	}
	r.l.Handle(class, r)
	go func() { r.done <- r.l.Run() }()
	t.Cleanup(func() {
		r.stop()
		goleak.VerifyNone(t, ignore)
		if after := openFiles(); after != before {
			t.Errorf("%d descriptors open, %d before the loop", after, before)
		}
	})
	return r
}

// stop ends the loop.
func (r *rig) stop() {
	r.l.Stop()
	select {
	case err := <-r.done:
		r.done <- err // for a second stop
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		buf := make([]byte, 1<<16)
		r.t.Fatalf("Run does not return\n%s", buf[:runtime.Stack(buf, true)])
	}
}

// Complete implements ring.Handler.
func (r *rig) Complete(c *ring.Completion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[c.Token] {
		r.t.Errorf("completion after the final one: %+v", *c)
	}
	if !c.More {
		r.ended[c.Token] = true
	}
	if hook := r.hooks[c.Token]; hook != nil {
		r.mu.Unlock()
		hook(c)
		r.mu.Lock()
		return
	}
	res := result{Completion: *c, seq: r.seq}
	r.seq++
	if c.Op == ring.OpReceive && c.More {
		res.grams = cloneDatagrams(r.l.Datagrams())
	}
	if c.Buf != 0 {
		if c.Op == ring.OpRecv {
			res.data = append([]byte(nil), r.l.Bytes(c.Buf)[:c.N]...)
		}
		r.l.Release(c.Buf)
	}
	r.results[c.Token] = append(r.results[c.Token], res)
	close(r.changed)
	r.changed = make(chan struct{})
}

// token makes a new token.
func (r *rig) token() ring.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return ring.NewToken(class, r.last)
}

// hooked makes a token whose completions go to f, on the loop, instead of the record.
func (r *rig) hooked(f func(*ring.Completion)) ring.Token {
	t := r.token()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks[t] = f
	return t
}

// do runs f on the loop and waits for it.
func (r *rig) do(f func()) {
	r.t.Helper()
	ran := make(chan struct{})
	if !r.l.Post(func() { defer close(ran); f() }) {
		r.t.Fatal("Post refused")
	}
	r.await(ran, "a post")
}

// await waits until ch is closed.
func (r *rig) await(ch <-chan struct{}, what string) {
	r.t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		r.t.Fatalf("waited too long for %s", what)
	}
}

// expect takes the next completion of t from the record.
func (r *rig) expect(t ring.Token) result {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		if rs := r.results[t]; len(rs) > 0 {
			r.results[t] = rs[1:]
			r.mu.Unlock()
			return rs[0]
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			r.t.Fatalf("no completion of token %d", t.Value())
		}
	}
}

// final takes the next completion of t, which has to be the last, with error e.
func (r *rig) final(t ring.Token, e syscall.Errno) result {
	r.t.Helper()
	res := r.expect(t)
	if res.More || res.Err != e {
		r.t.Fatalf("completion %+v, want the final one with error %v", res.Completion, e)
	}
	return res
}

// quiet fails the test if a completion of t is in the record. It first lets the loop turn, so that what is ready comes.
func (r *rig) quiet(t ring.Token) {
	r.t.Helper()
	r.do(func() {})
	r.do(func() {})
	r.mu.Lock()
	defer r.mu.Unlock()
	if rs := r.results[t]; len(rs) > 0 {
		r.t.Fatalf("unexpected completion %+v", rs[0].Completion)
	}
}

func (r *rig) attach(l *sock.Listener) (s ring.Sock) {
	r.t.Helper()
	r.do(func() {
		var err error
		if s, err = r.l.Attach(l); err != nil {
			r.t.Errorf("attach: %v", err)
		}
	})
	return s
}

func (r *rig) accept(l ring.Sock) ring.Token {
	t := r.token()
	r.do(func() { r.l.Accept(l, t) })
	return t
}

func (r *rig) connect(a *sock.Addr, o *sock.Options) (s ring.Sock, t ring.Token, err error) {
	t = r.token()
	r.do(func() { s, err = r.l.Connect(a, o, t) })
	return s, t, err
}

func (r *rig) recv(s ring.Sock) ring.Token {
	t := r.token()
	r.do(func() { r.l.Recv(s, t) })
	return t
}

// send sends data, which fits into a buffer.
func (r *rig) send(s ring.Sock, data []byte) ring.Token {
	t := r.token()
	r.do(func() {
		b := r.l.Alloc()
		r.l.Send(s, b, 0, copy(r.l.Bytes(b), data), t)
	})
	return t
}

func (r *rig) cancel(s ring.Sock, op ring.Op) { r.do(func() { r.l.Cancel(s, op) }) }

// close closes s and waits for it.
func (r *rig) close(s ring.Sock) {
	r.t.Helper()
	t := r.token()
	r.do(func() { r.l.Close(s, t) })
	r.final(t, 0)
}

// balanced fails the test unless the loop holds nothing but socks sockets.
func (r *rig) balanced(socks int) {
	r.t.Helper()
	var st ring.Stats
	r.do(func() { st = r.l.Stats() })
	if st.Socks != socks || st.Bufs != 0 || st.Timers != 0 || st.Pending != 0 {
		r.t.Errorf("left over, but for %d sockets: %+v", socks, st)
	}
}

// listen opens a listener on the loopback address ip, with a port of the kernel's choice.
func (r *rig) listen(ip string, o *sock.ListenOptions) *sock.Listener {
	r.t.Helper()
	l, err := sock.Listen(addr(ip, 0), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	return l
}

// dial connects package net to l.
func (r *rig) dial(l *sock.Listener) net.Conn {
	r.t.Helper()
	a := l.Addr()
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { c.Close() })
	return c
}

// pair is a connection: a socket of the loop, and the peer's end in package net.
func (r *rig) pair() (ring.Sock, *net.TCPConn) {
	r.t.Helper()
	l := r.listen("127.0.0.1", &sock.ListenOptions{NoDelay: true}) // or small pieces wait for delayed ACKs
	ls := r.attach(l)
	at := r.accept(ls)
	c := r.dial(l)
	s := r.expect(at).Sock
	r.close(ls)
	r.final(at, syscall.ECANCELED)
	return s, c.(*net.TCPConn)
}

// openFiles counts the descriptors of the process; 0 where the system does not tell.
func openFiles() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names)
}
