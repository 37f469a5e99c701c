package splice

import (
	"bytes"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

const fakeBuf = 16 // bytes of a buffer of the fake loop: small, so that everything needs many

// opened makes a relay between two sockets of f.
func opened(f *ringtest.Fake, p *Pump) *owner {
	o := &owner{pump: p, token: ring.NewToken(classOwner, 7)}
	f.Handle(classOwner, o)
	f.Handle(classAccept, completions(func(*ring.Completion) {}))
	l, _ := f.Attach(nil)
	f.Accept(l, ring.NewToken(classAccept, 0))
	o.down = f.Arrive(l, netip.AddrPort{}, netip.AddrPort{})
	o.up = f.Arrive(l, netip.AddrPort{}, netip.AddrPort{})
	f.Cancel(l, ring.OpAccept)
	f.Settle()
	return o
}

// completions makes a handler of a function.
type completions func(*ring.Completion)

func (h completions) Complete(c *ring.Completion) { h(c) }

// source and destination are the sockets of direction d.
func (o *owner) source(d Dir) ring.Sock      { return [2]ring.Sock{Up: o.down, Down: o.up}[d] }
func (o *owner) destination(d Dir) ring.Sock { return o.source(1 - d) }

// machine drives one relay and compares it with a plain model of what a relay has to do.
type machine struct {
	f    *ringtest.Fake
	o    *owner
	fast Side

	in      [2][]byte // given to the relay
	out     [2][]byte // taken from it
	ended   [2]bool   // the source has ended or failed
	broken  [2]bool   // the source has failed
	refused [2]bool   // the destination has
	shut    [2]bool   // the end was handed on
	checked bool      // that it was time to close
}

func newMachine(t *rapid.T) *machine {
	f := ringtest.NewFake(t, fakeBuf)
	m := &machine{f: f, o: opened(f, NewPump(f, 4)), fast: Side(rapid.IntRange(0, 3).Draw(t, "fast"))}
	m.o.chunk = func(d Dir, c *ring.Completion) Event {
		// The owner replaces the piece by its tail: what it does not push is not sent.
		off := c.N / 2
		m.in[d] = append(m.in[d], f.Bytes(c.Buf)[off:c.N]...)
		return m.o.relay.Push(m.o.pump, d, c.Buf, off, c.N-off)
	}
	m.o.start(m.fast)
	return m
}

func (m *machine) dir(t *rapid.T) Dir { return Dir(rapid.IntRange(0, 1).Draw(t, "dir")) }

// deaf tells that direction d cannot be sent any more.
func (m *machine) deaf(d Dir) bool { return m.refused[d] || m.broken[1-d] }

func (m *machine) sending(d Dir) bool { return m.f.IsPending(m.o.destination(d), ring.OpSend) }

func (m *machine) receiving(d Dir) bool { return m.f.IsPending(m.o.source(d), ring.OpRecv) }

// over tells that nothing is left to do for direction d.
func (m *machine) over(d Dir) bool {
	return !m.sending(d) && (m.deaf(d) || m.ended[d] && len(m.in[d]) == len(m.out[d]))
}

// empty tells that nothing of direction d is in the relay's hands.
func (m *machine) empty(d Dir) bool {
	return !m.sending(d) && (m.deaf(d) || len(m.in[d]) == len(m.out[d]))
}

func (m *machine) done() bool {
	return m.over(Up) && m.over(Down) ||
		m.fast&DownSide != 0 && m.ended[Up] && m.over(Up) && m.empty(Down) ||
		m.fast&UpSide != 0 && m.ended[Down] && m.over(Down) && m.empty(Up)
}

// data lets bytes arrive, also when the Recv was cancelled already: the operation may have been faster.
func (m *machine) data(t *rapid.T) {
	d := m.dir(t)
	for _, piece := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, fakeBuf), 1, 6).Draw(t, "data") {
		if !m.receiving(d) {
			return
		}
		if m.o.closing { // the piece comes too late
			m.f.Data(m.o.source(d), piece)
			continue
		}
		if !m.o.relay.flow[d].has(tapped) {
			m.in[d] = append(m.in[d], piece...)
		}
		m.f.Data(m.o.source(d), piece)
	}
}

// finish lets one operation end well, any one.
func (m *machine) finish(t *rapid.T) {
	ready := m.f.Ready()
	if len(ready) == 0 {
		t.Skip("nothing is pending")
	}
	m.end(rapid.SampledFrom(ready).Draw(t, "op"), 0)
}

// end lets p end with error e; a Send without error or cancellation is complete.
func (m *machine) end(p ringtest.Pending, e syscall.Errno) {
	d := Up
	if (p.Sock == m.o.up) == (p.Op == ring.OpRecv) {
		d = Down
	}
	n := 0
	switch {
	case p.Op == ring.OpClose:
	case p.Op == ring.OpSend:
		if n = p.N; e != 0 {
			n /= 2
			m.refused[d] = true
		}
		m.out[d] = append(m.out[d], m.f.Bytes(p.Buf)[p.Off:p.Off+n]...)
	case e == 0 && p.Cancelled:
		e = syscall.ECANCELED
	default:
		m.ended[d], m.broken[d] = true, e != 0
	}
	m.f.Complete(p.Sock, p.Op, e, n)
}

// fail lets a Recv or Send fail, rarely: nothing much happens afterwards.
func (m *machine) fail(t *rapid.T) {
	ready := slices.DeleteFunc(m.f.Ready(), func(p ringtest.Pending) bool { return p.Op == ring.OpClose })
	if len(ready) == 0 || rapid.IntRange(0, 4).Draw(t, "rarely") != 0 {
		t.Skip("not now")
	}
	m.end(rapid.SampledFrom(ready).Draw(t, "op"),
		rapid.SampledFrom([]syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT}).Draw(t, "error"))
}

// eof ends a source in order, also when its Recv was cancelled already.
func (m *machine) eof(t *rapid.T) {
	d := m.dir(t)
	if !m.receiving(d) || rapid.IntRange(0, 2).Draw(t, "rarely") != 0 {
		t.Skip("not now")
	}
	m.ended[d] = true
	m.f.Complete(m.o.source(d), ring.OpRecv, 0, 0)
}

func (m *machine) tap(t *rapid.T) { m.o.relay.Tap(m.dir(t), rapid.Bool().Draw(t, "on")) }

// close is what `close N` does.
func (m *machine) close(t *rapid.T) {
	if m.o.closing || rapid.IntRange(0, 9).Draw(t, "rarely") != 0 {
		t.Skip("not now")
	}
	m.o.close()
}

// check compares relay and model.
func (m *machine) check(t *rapid.T) {
	o := m.o
	if o.closing {
		if o.done && !m.checked && !m.done() {
			t.Fatalf("done too early: %+v", o.relay)
		}
		m.checked = true
		return
	}
	if m.done() {
		t.Fatalf("not done: %+v", o.relay)
	}
	for d := range Dir(2) {
		f := &o.relay.flow[d]
		if sent := m.f.Sent(o.destination(d)); !bytes.Equal(sent, m.out[d]) || !bytes.HasPrefix(m.in[d], sent) {
			t.Fatalf("direction %d: sent %x of %x", d, sent, m.in[d])
		}
		if got := o.relay.Bytes(d); got != uint64(len(m.out[d])) {
			t.Fatalf("direction %d: Bytes = %d, want %d", d, got, len(m.out[d]))
		}
		if got, want := o.relay.Pending(o.pump, d), len(m.in[d])-len(m.out[d]); got != want && !m.deaf(d) {
			t.Fatalf("direction %d: Pending = %d, want %d", d, got, want)
		}
		if o.relay.Ended(d) != m.ended[d] || (o.relay.Err(d) != 0) != m.broken[d] {
			t.Fatalf("direction %d: ended %v, error %v", d, o.relay.Ended(d), o.relay.Err(d))
		}
		if m.over(d) && !m.deaf(d) {
			m.shut[d] = true
		}
		if got := m.f.IsShutdown(o.destination(d)); got != m.shut[d] {
			t.Fatalf("direction %d: shutdown %v, want %v", d, got, m.shut[d])
		}
		if full := int(f.held) >= maxHeld || m.deaf(d); full && m.receiving(d) && !m.cancelled(d) {
			t.Fatalf("direction %d: goes on reading with %d pieces held, deaf %v", d, f.held, m.deaf(d))
		}
		if !m.over(d) && !m.receiving(d) && !m.sending(d) {
			t.Fatalf("direction %d: stands still: %+v", d, f)
		}
	}
}

func (m *machine) cancelled(d Dir) bool {
	for _, p := range m.f.Pending() {
		if p.Sock == m.o.source(d) && p.Op == ring.OpRecv {
			return p.Cancelled
		}
	}
	return false
}

// TestRelayAnyOrder lets operations end in every order and with every outcome.
func TestRelayAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"data":   m.data,
			"finish": m.finish,
			"fail":   m.fail,
			"eof":    m.eof,
			"tap":    m.tap,
			"close":  m.close,
		})
		for turns := 0; ; turns++ {
			ready := m.f.Ready()
			if len(ready) == 0 {
				break
			}
			if turns > 1000 {
				t.Fatalf("no end of it: %v", ready)
			}
			m.end(ready[0], 0)
			m.check(t)
		}
		if !m.o.closing || m.o.open != 0 {
			t.Fatalf("all has ended, and the relay has not: %+v", m.o.relay)
		}
		m.f.Balanced(1)
		if n := m.o.pump.nodesOut(); n != 0 {
			t.Fatalf("%d nodes left", n)
		}
	})
}

// TestRelayKeepsQueued has each side end while pieces from it are still queued.
func TestRelayKeepsQueued(t *testing.T) {
	for _, c := range []struct {
		name string
		err  syscall.Errno
	}{{"end of stream", 0}, {"reset", syscall.ECONNRESET}} {
		for d := range Dir(2) {
			t.Run(c.name+[]string{" up", " down"}[d], func(t *testing.T) {
				f := ringtest.NewFake(t, fakeBuf)
				o := opened(f, NewPump(f, 0))
				o.start(0)
				f.Data(o.source(d), []byte("one"))
				f.Data(o.source(d), []byte("two"))
				f.Complete(o.source(d), ring.OpRecv, c.err, 0)
				f.Finish(o.destination(d), ring.OpSend)
				if c.err == 0 && f.IsShutdown(o.destination(d)) {
					t.Fatal("the end overtook a piece")
				}
				if o.done {
					t.Fatal("done with a piece in hand")
				}
				f.Finish(o.destination(d), ring.OpSend)
				if c.err == 0 {
					if string(f.Sent(o.destination(d))) != "onetwo" || !f.IsShutdown(o.destination(d)) || o.done {
						t.Fatalf("sent %q, shutdown %v, done %v", f.Sent(o.destination(d)), f.IsShutdown(o.destination(d)), o.done)
					}
					f.Complete(o.source(1-d), ring.OpRecv, 0, 0)
				}
				if !o.done {
					t.Fatal("not done")
				}
				if got := string(f.Sent(o.destination(d))); got != "onetwo" {
					t.Fatalf("sent %q", got)
				}
				f.Settle()
				f.Balanced(1)
			})
		}
	}
}

// TestRelayAnswerAfterRefusal has the server stop reading and still say something, as with 413.
func TestRelayAnswerAfterRefusal(t *testing.T) {
	f := ringtest.NewFake(t, fakeBuf)
	o := opened(f, NewPump(f, 0))
	o.start(0)
	f.Data(o.down, []byte("too much"))
	f.Complete(o.up, ring.OpSend, syscall.EPIPE, 3)
	f.Data(o.up, []byte("413"))
	f.Finish(o.down, ring.OpSend)
	if o.done || string(f.Sent(o.down)) != "413" {
		t.Fatalf("done %v, the client has %q", o.done, f.Sent(o.down))
	}
	if got := o.relay.Bytes(Up); got != 3 {
		t.Errorf("%d bytes up, want 3", got)
	}
	f.Complete(o.up, ring.OpRecv, 0, 0)
	if !o.done {
		t.Fatal("not done")
	}
	f.Settle()
	f.Balanced(1)
}

// A reader that stops makes its flow stop reading, the sooner the larger the pieces are.
func TestRelayHolds(t *testing.T) {
	for _, tt := range []struct{ bufBytes, want int }{{16, 4}, {16 << 10, 4}, {64 << 10, 4}, {128 << 10, 2}, {1 << 20, 2}} {
		f := ringtest.NewFake(t, tt.bufBytes)
		o := opened(f, NewPump(f, 0))
		o.start(0)
		stops := func() bool {
			return slices.ContainsFunc(f.Pending(), func(p ringtest.Pending) bool {
				return p.Op == ring.OpRecv && p.Sock == o.up && p.Cancelled
			})
		}
		got := 0
		for ; got < 9 && !stops(); got++ {
			f.Data(o.up, make([]byte, tt.bufBytes))
		}
		if got != tt.want || f.Stats().Bufs != tt.want {
			t.Errorf("pieces of %d bytes: stops after %d, holds %d, want %d", tt.bufBytes, got, f.Stats().Bufs, tt.want)
		}
	}
}
