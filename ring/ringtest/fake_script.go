package ringtest

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// Pending lists the operations without their final completion, in the order in which they were submitted.
func (f *Fake) Pending() []Pending {
	ps := make([]Pending, len(f.ops))
	for i, p := range f.ops {
		ps[i] = *p
	}
	return ps
}

// Ready lists the operations of Pending that may complete now: all but a Close of whose socket others are pending.
func (f *Fake) Ready() []Pending {
	return slices.DeleteFunc(f.Pending(), func(p Pending) bool { return !f.mayComplete(&p) })
}

func (f *Fake) mayComplete(p *Pending) bool {
	return p.Op != ring.OpClose || !slices.ContainsFunc(f.ops, func(q *Pending) bool {
		return q.Sock == p.Sock && q.Op != ring.OpClose
	})
}

func (f *Fake) find(s ring.Sock, op ring.Op) *Pending {
	for _, p := range f.ops {
		if p.Sock == s && p.Op == op {
			return p
		}
	}
	return nil
}

// IsPending reports whether op is pending on s.
func (f *Fake) IsPending(s ring.Sock, op ring.Op) bool { return f.find(s, op) != nil }

func (f *Fake) must(s ring.Sock, op ring.Op) *Pending {
	f.t.Helper()
	p := f.find(s, op)
	if p == nil {
		f.t.Fatalf("%v is not pending on socket %#x", op, uint32(s))
	}
	return p
}

// Arrive yields a connection on listener l from peer to local, and its socket.
func (f *Fake) Arrive(l ring.Sock, peer, local netip.AddrPort) ring.Sock {
	f.t.Helper()
	p := f.must(l, ring.OpAccept)
	s := f.open(&fakeSock{peer: peer, local: local})
	f.deliver(&ring.Completion{Token: p.Token, Op: ring.OpAccept, More: true, Sock: s})
	return s
}

// Data lets data arrive on s, whose Recv is pending, cut into buffers.
func (f *Fake) Data(s ring.Sock, data []byte) {
	f.t.Helper()
	for len(data) > 0 {
		p := f.must(s, ring.OpRecv)
		b := f.Alloc()
		n := copy(f.bufs[b], data)
		data = data[n:]
		f.deliver(&ring.Completion{Token: p.Token, Op: ring.OpRecv, More: true, N: n, Sock: s, Buf: b})
	}
}

// Complete ends the operation op of s with error e. For a Send, n is how much of it was written; e == 0 needs all. A
// Recv that ends without an error is the end of the stream.
func (f *Fake) Complete(s ring.Sock, op ring.Op, e syscall.Errno, n int) {
	f.t.Helper()
	p := f.must(s, op)
	c := ring.Completion{Token: p.Token, Op: op, Err: e, Sock: s}
	switch op {
	case ring.OpAccept:
		c.Sock = 0
	case ring.OpSend:
		if n < 0 || n > p.N || e == 0 && n != p.N {
			f.t.Fatalf("%v: %d of %d bytes with error %v", p, n, p.N, e)
		}
		c.N, c.Buf = n, p.Buf
		so := f.socks[s]
		so.sent = append(so.sent, f.bufs[p.Buf][p.Off:p.Off+n]...)
	case ring.OpClose:
		if !f.mayComplete(p) {
			f.t.Fatalf("%v completes before the others", p)
		}
		delete(f.socks, s)
		f.freeSock = append(f.freeSock, uint32(s)&(1<<24-1))
	}
	f.ops = slices.DeleteFunc(f.ops, func(q *Pending) bool { return q == p })
	f.deliver(&c)
}

// Finish ends op of s as it would end if nothing went wrong: ECANCELED if that was asked for, the whole of a Send, the
// end of the stream for a Recv. p of [Fake.Ready] is finished by Finish(p.Sock, p.Op).
func (f *Fake) Finish(s ring.Sock, op ring.Op) {
	f.t.Helper()
	p := f.must(s, op)
	if p.Cancelled {
		f.Complete(s, op, syscall.ECANCELED, 0)
		return
	}
	f.Complete(s, op, 0, p.N)
}

// Settle finishes, in the order of submission, what was cancelled and what closes, until there is no more of it.
func (f *Fake) Settle() {
	f.t.Helper()
	for {
		i := slices.IndexFunc(f.ops, func(p *Pending) bool {
			return p.Cancelled || p.Op == ring.OpClose && f.mayComplete(p)
		})
		if i < 0 {
			return
		}
		f.Finish(f.ops[i].Sock, f.ops[i].Op)
	}
}

func (f *Fake) deliver(c *ring.Completion) {
	f.t.Helper()
	h := f.handlers[c.Token.Class()]
	if h == nil {
		f.t.Fatalf("no handler for class %d", c.Token.Class())
	}
	if f.inside {
		f.t.Fatalf("a completion inside of another")
	}
	f.inside = true
	defer func() { f.inside = false }()
	h.Complete(c)
}

// Advance lets d pass. Timers that become due complete on the way, each at its own time.
func (f *Fake) Advance(d time.Duration) {
	f.t.Helper()
	end := f.now + int64(d)
	for len(f.timers) > 0 && f.timers[0].at <= end {
		due := f.timers[0]
		f.timers = f.timers[1:]
		f.now = max(f.now, due.at)
		f.deliver(&ring.Completion{Token: due.tok, Op: ring.OpTimer})
	}
	f.now = end
}

// NextTimer is how long it is until the first timer is due; false if none runs.
func (f *Fake) NextTimer() (time.Duration, bool) {
	if len(f.timers) == 0 {
		return 0, false
	}
	return time.Duration(f.timers[0].at - f.now), true
}

// RunPosts runs what has been posted, and tells how much that was.
func (f *Fake) RunPosts() int {
	f.mu.Lock()
	posts := f.posts
	f.posts = nil
	f.mu.Unlock()
	for _, fn := range posts {
		f.counts.Posts++
		fn()
	}
	return len(posts)
}

// Opened lists the sockets that are open, listeners included, the first opened slot first.
func (f *Fake) Opened() []ring.Sock {
	ss := make([]ring.Sock, 0, len(f.socks))
	for s := range f.socks {
		ss = append(ss, s)
	}
	slices.SortFunc(ss, func(a, b ring.Sock) int { return int(a&(1<<24-1)) - int(b&(1<<24-1)) })
	return ss
}

// Sent is all that was written to s so far. s is open.
func (f *Fake) Sent(s ring.Sock) []byte { return f.get(s, "Sent").sent }

// Destination is where s was connected to, and with which options.
func (f *Fake) Destination(s ring.Sock) (sock.Addr, sock.Options) {
	so := f.get(s, "Destination")
	return so.addr, so.opts
}

// IsShutdown reports whether the write half of s was closed.
func (f *Fake) IsShutdown(s ring.Sock) bool { return f.get(s, "IsShutdown").shutdown }

// IsAborted reports whether Abort was called on s.
func (f *Fake) IsAborted(s ring.Sock) bool { return f.get(s, "IsAborted").aborted }

// SetFD sets what FD yields for s.
func (f *Fake) SetFD(s ring.Sock, fd int) { f.get(s, "SetFD").fd = fd }

// Balanced fails the test unless nothing is left but socks sockets without operations, attached listeners included.
func (f *Fake) Balanced(socks int) {
	f.t.Helper()
	if st := f.Stats(); st.Socks != socks || st.Bufs != 0 || st.Timers != 0 || st.Pending != 0 {
		f.t.Errorf("left over, but for %d sockets: %+v, %v", socks, st, f.Pending())
	}
}
