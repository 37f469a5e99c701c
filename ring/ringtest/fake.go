package ringtest

import (
	"fmt"
	"net/netip"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// TB is what a Fake needs of a test: *testing.T, *testing.B and *rapid.T have it.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Fake is a [ring.Loop] without a kernel. Its verbs only note what was submitted; the test lets operations complete, in
// any order and with any outcome that the contract of package ring allows, and each completion is delivered before the
// call returns. It fails the test if the user of the loop breaks the contract.
//
// All is called from one goroutine, the loop's, but for Post and Stop.
type Fake struct {
	// Descriptors makes HasFD true; what FD yields is set with SetFD.
	Descriptors bool
	// ConnectError, if set, is asked before each Connect; an error means that there will be no socket.
	ConnectError func(a *sock.Addr, o *sock.Options) error

	t        TB
	handlers map[ring.Class]ring.Handler
	socks    map[ring.Sock]*fakeSock
	lastSock uint32
	gens     map[uint32]uint32 // uses of each slot
	freeSock []uint32
	ops      []*Pending // in order of submission
	bufs     map[ring.Buf][]byte
	lastBuf  ring.Buf
	bufSize  int
	timers   []fakeTimer // by time, then by start
	lastTime ring.Timer
	grams    []sock.Datagram // that are being handled
	sent     []Transmitted
	now      int64
	inside   bool // a completion is being delivered
	counts   ring.Stats

	mu      sync.Mutex
	posts   []func()
	stopped bool
	changed *sync.Cond
}

type fakeSock struct {
	listener    bool
	datagram    bool
	closing     bool
	shutdown    bool
	aborted     bool
	fd          int
	addr        sock.Addr
	opts        sock.Options
	peer, local netip.AddrPort
	sent        []byte
}

type fakeTimer struct {
	name ring.Timer
	at   int64
	tok  ring.Token
}

// Pending is an operation without its final completion.
type Pending struct {
	Sock      ring.Sock
	Op        ring.Op
	Token     ring.Token
	Buf       ring.Buf // of a Send, with the range that is to be written
	Off, N    int
	Cancelled bool // by Cancel or Close: what remains is to complete it
}

// NewFake makes a loop whose buffers have bufSize bytes.
func NewFake(t TB, bufSize int) *Fake {
	f := &Fake{
		t:        t,
		handlers: make(map[ring.Class]ring.Handler),
		socks:    make(map[ring.Sock]*fakeSock),
		gens:     make(map[uint32]uint32),
		bufs:     make(map[ring.Buf][]byte),
		bufSize:  bufSize,
		now:      1,
	}
	f.changed = sync.NewCond(&f.mu)
	return f
}

var _ ring.Loop = (*Fake)(nil)

// Engine implements ring.Loop.
func (f *Fake) Engine() string { return "fake" }

// Features implements ring.Loop.
func (f *Fake) Features() []string { return nil }

// Handle implements ring.Loop.
func (f *Fake) Handle(c ring.Class, h ring.Handler) { f.handlers[c] = h }

func (f *Fake) open(so *fakeSock) ring.Sock {
	var slot uint32
	if n := len(f.freeSock); n > 0 {
		slot, f.freeSock = f.freeSock[n-1], f.freeSock[:n-1]
	} else {
		f.lastSock++
		slot = f.lastSock
	}
	f.gens[slot]++
	s := ring.Sock(f.gens[slot]<<24 | slot)
	so.fd = -1
	f.socks[s] = so
	return s
}

func (f *Fake) get(s ring.Sock, what string) *fakeSock {
	f.t.Helper()
	so := f.socks[s]
	if so == nil {
		f.t.Fatalf("%s on socket %#x, which is not open", what, uint32(s))
	}
	return so
}

// submit notes p, and checks that it may be pending now.
func (f *Fake) submit(p Pending) {
	f.t.Helper()
	so := f.get(p.Sock, p.Op.String())
	switch {
	case so.closing:
		f.t.Fatalf("%v on socket %#x after close", p.Op, uint32(p.Sock))
	case p.Op != ring.OpClose && !so.takes(p.Op):
		f.t.Fatalf("%v on the wrong kind of socket", p.Op)
	}
	for _, q := range f.ops {
		if q.Sock == p.Sock && excludes(q.Op, p.Op) {
			f.t.Fatalf("%v on socket %#x while %v is pending", p.Op, uint32(p.Sock), q.Op)
		}
	}
	f.ops = append(f.ops, &p)
}

func excludes(a, b ring.Op) bool {
	side := func(o ring.Op) ring.Op {
		switch o {
		case ring.OpReadable, ring.OpReceive:
			return ring.OpRecv
		case ring.OpWritable:
			return ring.OpSend
		}
		return o
	}
	return side(a) == side(b)
}

// Attach implements ring.Loop. l may be nil.
func (f *Fake) Attach(l *sock.Listener) (ring.Sock, error) {
	so := &fakeSock{listener: true}
	if l != nil {
		so.addr = l.Addr()
	}
	return f.open(so), nil
}

// Accept implements ring.Loop.
func (f *Fake) Accept(l ring.Sock, t ring.Token) {
	f.t.Helper()
	f.submit(Pending{Sock: l, Op: ring.OpAccept, Token: t})
}

// Connect implements ring.Loop.
func (f *Fake) Connect(a *sock.Addr, o *sock.Options, t ring.Token) (ring.Sock, error) {
	f.t.Helper()
	if f.ConnectError != nil {
		if err := f.ConnectError(a, o); err != nil {
			return 0, err
		}
	}
	so := &fakeSock{addr: *a, peer: a.AddrPort}
	if o != nil {
		so.opts = *o
	}
	s := f.open(so)
	f.submit(Pending{Sock: s, Op: ring.OpConnect, Token: t})
	return s, nil
}

// Recv implements ring.Loop.
func (f *Fake) Recv(s ring.Sock, t ring.Token) {
	f.t.Helper()
	f.submit(Pending{Sock: s, Op: ring.OpRecv, Token: t})
}

// Send implements ring.Loop.
func (f *Fake) Send(s ring.Sock, b ring.Buf, off, n int, t ring.Token) {
	f.t.Helper()
	if f.Bytes(b); off < 0 || n <= 0 || off+n > f.bufSize {
		f.t.Fatalf("send of [%d:%d] from a buffer of %d bytes", off, off+n, f.bufSize)
	}
	for _, p := range f.ops {
		if p.Op == ring.OpSend && p.Buf == b {
			f.t.Fatalf("buffer %d is being sent already", b)
		}
	}
	f.submit(Pending{Sock: s, Op: ring.OpSend, Token: t, Buf: b, Off: off, N: n})
}

// Readable implements ring.Loop.
func (f *Fake) Readable(s ring.Sock, t ring.Token) {
	f.t.Helper()
	f.needFD("Readable")
	f.submit(Pending{Sock: s, Op: ring.OpReadable, Token: t})
}

// Writable implements ring.Loop.
func (f *Fake) Writable(s ring.Sock, t ring.Token) {
	f.t.Helper()
	f.needFD("Writable")
	f.submit(Pending{Sock: s, Op: ring.OpWritable, Token: t})
}

func (f *Fake) needFD(what string) {
	f.t.Helper()
	if !f.Descriptors {
		f.t.Fatalf("%s on a loop without descriptors", what)
	}
}

// Cancel implements ring.Loop. The operation stays pending, marked, until the test completes it.
func (f *Fake) Cancel(s ring.Sock, op ring.Op) {
	f.t.Helper()
	f.get(s, "cancel")
	if op == ring.OpSend || op == ring.OpClose {
		return
	}
	if p := f.find(s, op); p != nil {
		p.Cancelled = true
	}
}

// Shutdown implements ring.Loop.
func (f *Fake) Shutdown(s ring.Sock) syscall.Errno {
	f.t.Helper()
	f.get(s, "shutdown").shutdown = true
	return 0
}

// Abort implements ring.Loop.
func (f *Fake) Abort(s ring.Sock) {
	f.t.Helper()
	f.get(s, "abort").aborted = true
}

// Close implements ring.Loop.
func (f *Fake) Close(s ring.Sock, t ring.Token) {
	f.t.Helper()
	f.submit(Pending{Sock: s, Op: ring.OpClose, Token: t})
	f.socks[s].closing = true
	for _, p := range f.ops {
		if p.Sock == s && p.Op != ring.OpClose {
			p.Cancelled = true
		}
	}
}

// HasFD implements ring.Loop.
func (f *Fake) HasFD() bool { return f.Descriptors }

// FD implements ring.Loop.
func (f *Fake) FD(s ring.Sock) int {
	f.t.Helper()
	return f.get(s, "FD").fd
}

// Peer implements ring.Loop.
func (f *Fake) Peer(s ring.Sock) netip.AddrPort {
	f.t.Helper()
	return f.get(s, "Peer").peer
}

// Local implements ring.Loop.
func (f *Fake) Local(s ring.Sock) netip.AddrPort {
	f.t.Helper()
	return f.get(s, "Local").local
}

// BufSize implements ring.Loop.
func (f *Fake) BufSize() int { return f.bufSize }

// Alloc implements ring.Loop.
func (f *Fake) Alloc() ring.Buf {
	f.lastBuf++
	f.bufs[f.lastBuf] = make([]byte, f.bufSize)
	return f.lastBuf
}

// Bytes implements ring.Loop.
func (f *Fake) Bytes(b ring.Buf) []byte {
	f.t.Helper()
	mem := f.bufs[b]
	if mem == nil {
		f.t.Fatalf("buffer %d is not lent", b)
	}
	return mem
}

// Release implements ring.Loop. It spoils the memory, for those who still look at it.
func (f *Fake) Release(b ring.Buf) {
	f.t.Helper()
	mem := f.Bytes(b)
	for _, p := range f.ops {
		if p.Op == ring.OpSend && p.Buf == b {
			f.t.Fatalf("buffer %d released while it is being sent", b)
		}
	}
	for i := range mem {
		mem[i] = 0xdb
	}
	delete(f.bufs, b)
}

// SetSpin implements ring.Loop: the fake has nothing to wait for.
func (f *Fake) SetSpin(ring.Spin) {}

// Now implements ring.Loop.
func (f *Fake) Now() int64 { return f.now }

// After implements ring.Loop.
func (f *Fake) After(d time.Duration, t ring.Token) ring.Timer {
	f.lastTime++
	at := f.now + max(int64(d), 0)
	if at < f.now {
		at = 1<<63 - 1
	}
	i := sort.Search(len(f.timers), func(i int) bool { return f.timers[i].at > at })
	f.timers = append(f.timers, fakeTimer{})
	copy(f.timers[i+1:], f.timers[i:])
	f.timers[i] = fakeTimer{name: f.lastTime, at: at, tok: t}
	return f.lastTime
}

// StopTimer implements ring.Loop.
func (f *Fake) StopTimer(t ring.Timer) {
	for i := range f.timers {
		if f.timers[i].name == t {
			f.timers = append(f.timers[:i], f.timers[i+1:]...)
			return
		}
	}
}

// Post implements ring.Loop. The test runs what was posted with RunPosts, or lets Run do it.
func (f *Fake) Post(fn func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	f.posts = append(f.posts, fn)
	f.changed.Signal()
	return true
}

// Run implements ring.Loop: it runs posts until Stop. A test that is itself the loop does not need it.
func (f *Fake) Run() error {
	for {
		f.mu.Lock()
		for len(f.posts) == 0 && !f.stopped {
			f.changed.Wait()
		}
		done := len(f.posts) == 0
		f.mu.Unlock()
		if done {
			return nil
		}
		f.RunPosts()
	}
}

// Stop implements ring.Loop.
func (f *Fake) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.changed.Signal()
}

// Stats implements ring.Loop.
func (f *Fake) Stats() ring.Stats {
	st := f.counts
	st.Socks, st.Bufs, st.Timers, st.Pending = len(f.socks), len(f.bufs), len(f.timers), len(f.ops)
	return st
}

func (p *Pending) String() string { return fmt.Sprintf("%v on socket %#x", p.Op, uint32(p.Sock)) }
