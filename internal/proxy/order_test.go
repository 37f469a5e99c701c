package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

// orderly is a proxy on loops that the test completes by hand.
type orderly struct {
	t     *rapid.T
	p     *Proxy
	loops []*ringtest.Fake
	full  bool // no descriptor is to be had
	limit int
	next  int // client
	begun int // clients accepted
}

func newOrderly(t *rapid.T, tb testing.TB) *orderly {
	o := &orderly{t: t, limit: rapid.IntRange(1, 6).Draw(t, "conn_max")}
	u := setup{workers: 2, maxConns: 100, set: func(s *settings.Settings) {
		s.ConnMax, s.ConnMaxHard = o.limit, true
		s.PendingMax = rapid.IntRange(1, 4).Draw(t, "pending_max")
		s.Rules.RoundRobin = rapid.Bool().Draw(t, "roundrobin")
		s.Rules.Stubborn = rapid.IntRange(0, 5).Draw(t, "stubborn") == 0
		s.FastClose = settings.FastClose(rapid.IntRange(0, 3).Draw(t, "tcp_fastclose"))
	}}
	for i := range rapid.IntRange(1, 3).Draw(t, "servers") {
		c := conf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80))
		c.Max = rapid.IntRange(0, 2).Draw(t, "max")
		u.servers = append(u.servers, c)
	}
	var log interface{ Close() error }
	o.p, _, log = newProxy(tb, u)
	t.Cleanup(func() { _ = log.Close() })
	for range u.workers {
		f := ringtest.NewFake(t, 32)
		f.ConnectError = func(*sock.Addr, *sock.Options) error {
			if o.full {
				return syscall.EMFILE
			}
			return nil
		}
		o.loops = append(o.loops, f)
		if err := o.p.NewWorker(f, 0).Listen(new(sock.Listener)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// arrive brings a client, if the worker accepts.
func (o *orderly) arrive(t *rapid.T) {
	f := rapid.SampledFrom(o.loops).Draw(t, "loop")
	ln := f.Opened()[0]
	if !f.IsPending(ln, ring.OpAccept) {
		t.Skip("does not accept")
	}
	o.next++
	o.begun++
	f.Arrive(ln, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(o.next % 3)}), uint16(o.next)), netip.AddrPort{})
}

// ready lists the operations that may end, but for the accepts that go on, each with its loop.
func (o *orderly) ready() (fs []*ringtest.Fake, ps []ringtest.Pending) {
	for _, f := range o.loops {
		for _, p := range f.Ready() {
			if p.Op != ring.OpAccept || p.Cancelled {
				fs, ps = append(fs, f), append(ps, p)
			}
		}
	}
	return fs, ps
}

// end lets any operation end, well or not.
func (o *orderly) end(t *rapid.T) {
	fs, ps := o.ready()
	if len(ps) == 0 {
		t.Skip("nothing is pending")
	}
	i := rapid.IntRange(0, len(ps)-1).Draw(t, "op")
	f, p := fs[i], ps[i]
	how := rapid.IntRange(0, 5).Draw(t, "how")
	switch {
	case p.Op == ring.OpConnect && how == 0:
		f.Complete(p.Sock, p.Op, syscall.ECONNREFUSED, 0)
	case p.Op == ring.OpConnect && how == 1: // faster than what cancelled it
		f.Complete(p.Sock, p.Op, 0, 0)
	case p.Op == ring.OpRecv && how == 0:
		f.Complete(p.Sock, p.Op, syscall.ECONNRESET, 0)
	case p.Op == ring.OpRecv && how < 4:
		f.Data(p.Sock, []byte("0123456789012345678901234567890123456789")[:how*13])
	case p.Op == ring.OpSend && how == 0:
		f.Complete(p.Sock, p.Op, syscall.EPIPE, p.N/2)
	case p.Op == ring.OpAccept && how == 0:
		f.Complete(p.Sock, p.Op, syscall.EMFILE, 0)
	default:
		f.Finish(p.Sock, p.Op)
	}
}

func (o *orderly) posts() {
	for _, f := range o.loops {
		f.RunPosts()
	}
}

func (o *orderly) advance(d time.Duration) {
	for _, f := range o.loops {
		f.Advance(d)
	}
}

// refresh changes a setting while sessions are there.
func (o *orderly) refresh(t *rapid.T) {
	o.p.Settings.Update(func(s *settings.Settings) {
		switch rapid.IntRange(0, 3).Draw(t, "setting") {
		case 0:
			s.IdleTimeout = time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second
		case 1:
			s.ConnMax = rapid.IntRange(1, 6).Draw(t, "conn_max")
			o.limit = max(o.limit, s.ConnMax)
		case 2:
			s.Idlers = rapid.IntRange(0, 2).Draw(t, "idlers")
		case 3:
			s.PendingMax = rapid.IntRange(1, 4).Draw(t, "pending_max")
		}
	})
	o.p.Refresh()
}

// closeOne is `close N`.
func (o *orderly) closeOne(t *rapid.T) {
	w := rapid.SampledFrom(o.p.workers.All()).Draw(t, "worker")
	all := slices.Collect(w.slab.live())
	if len(all) == 0 {
		t.Skip("no session")
	}
	w.finish(rapid.SampledFrom(all).Draw(t, "session"), byOperator)
}

// check compares the counts with the sessions that are there.
func (o *orderly) check(t *rapid.T) {
	places := map[int]int{}
	sessions, connects := 0, 0
	for _, w := range o.p.workers.All() {
		sessions += w.slab.n
		for s := range w.slab.live() {
			if s.server != balance.None {
				places[int(s.server)]++
			}
			if s.state == connecting {
				connects++
			}
			if got, ok := o.p.numbers.find(int(s.number)); !ok || got != (owner{w.index, s.slot}) {
				t.Fatalf("number %d belongs to %v, %v", s.number, got, ok)
			}
		}
		for _, id := range w.idlers.all {
			if id.sock != 0 {
				places[id.server]++
			}
		}
	}
	if n := o.p.Conns(); n != sessions || n > o.limit {
		t.Fatalf("%d numbers, %d sessions, limit %d", n, sessions, o.limit)
	}
	if n := int(o.p.pending.Load()); n != connects {
		t.Fatalf("%d connects counted, %d there", n, connects)
	}
	for i := range o.p.Servers.Len() {
		if got := o.p.Servers.Conns(i); got != places[i] {
			t.Fatalf("server %d: %d places counted, %d taken", i, got, places[i])
		}
		if c := o.p.Servers.Config(i); c.Max > 0 && places[i] > c.Max {
			t.Fatalf("server %d: %d places of %d", i, places[i], c.Max)
		}
	}
}

// TestAnyOrder runs two workers under every order and outcome of their operations: whatever happens, the counts are
// right, nobody waits for ever, and in the end nothing is left.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := newOrderly(rt, t)
		rt.Repeat(map[string]func(*rapid.T){
			"":        o.check,
			"arrive":  o.arrive,
			"arrive2": o.arrive,
			"end":     o.end,
			"end2":    o.end,
			"end3":    o.end,
			"posts":   func(*rapid.T) { o.posts() },
			"time":    func(t *rapid.T) { o.advance(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond) },
			"refresh": o.refresh,
			"close":   o.closeOne,
			"files":   func(t *rapid.T) { o.full = rapid.IntRange(0, 3).Draw(t, "full") == 0 },
		})
		o.full = false
		o.p.Settings.Update(func(s *settings.Settings) { s.Idlers, s.PendingMax = 0, 100 })
		o.p.Refresh()
		for turns := 0; ; turns++ {
			o.posts()
			fs, ps := o.ready()
			for i, p := range ps {
				if fs[i].IsPending(p.Sock, p.Op) && (p.Op != ring.OpClose || len(fs[i].Ready()) > 0) {
					if slices.ContainsFunc(fs[i].Ready(), func(q ringtest.Pending) bool { return q.Sock == p.Sock && q.Op == p.Op }) {
						fs[i].Finish(p.Sock, p.Op)
					}
				}
			}
			o.check(rt)
			var left string
			say := func(format string, args ...any) { left += fmt.Sprintf(format, args...) + "; " }
			for _, w := range o.p.workers.All() {
				w.left(say)
			}
			o.p.left(say)
			if left == "" {
				return
			}
			if turns > 300 {
				rt.Fatalf("left over: %s %v", left, ps)
			}
			if len(ps) == 0 {
				o.advance(time.Second)
			}
		}
	})
}

// TestIdlersRemade ends idlers and wants others at once: what the old ones still have to say is not for the new ones.
func TestIdlersRemade(t *testing.T) {
	for _, connected := range []bool{false, true} {
		p, _, log := newProxy(t, setup{workers: 1, maxConns: 100, servers: confs(netip.MustParseAddrPort("10.0.0.1:80"))})
		defer log.Close()
		f := ringtest.NewFake(t, 32)
		w := p.NewWorker(f, 0)
		idlers := func(n int) {
			p.Settings.Update(func(s *settings.Settings) { s.Idlers = n })
			p.Refresh()
			f.RunPosts()
		}
		idlers(1)
		if connected {
			f.Finish(w.idlers.all[0].sock, ring.OpConnect)
		}
		idlers(0)
		idlers(1)
		now := w.idlers.all[0].sock
		f.Settle() // the old one
		if w.idlers.all[0].sock != now || f.Opened()[0] != now {
			t.Errorf("connected %v: the new idler was ended instead of the old one", connected)
		}
		if !p.Servers.Available(&p.Settings.Get().Rules, 0, w.now()) {
			t.Errorf("connected %v: the server was blacklisted", connected)
		}
		idlers(0)
		f.Settle()
		f.Balanced(0)
	}
}
