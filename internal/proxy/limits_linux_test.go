package proxy

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/testnet"
)

// TestServerLimits sends a burst of clients over two workers: not one place too many is taken, and none is left empty.
func TestServerLimits(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		a, b, e := serve(t, 'a'), serve(t, 'b'), serve(t, 'e')
		r := start(t, setup{engine: engine, servers: confs(a.addr, b.addr), set: func(s *settings.Settings) {
			s.Rules.RoundRobin = true
		}})
		r.update(0, func(c *balance.Config) { c.Max = 5 })
		r.update(1, func(c *balance.Config) { c.Max = 3 })
		emergency := conf(e.addr)
		r.update(balance.Emergency, func(c *balance.Config) { *c = emergency })
		for range 3 { // places must come back
			var mu sync.Mutex
			got := map[byte]int{}
			var conns []net.Conn
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					c, err := dialFrom(r.addrs[i%2])
					if err != nil {
						t.Error(err)
						return
					}
					name := who(t, c)
					mu.Lock()
					defer mu.Unlock()
					got[name]++
					conns = append(conns, c)
				})
			}
			wg.Wait()
			if got['a'] != 5 || got['b'] != 3 || got['e'] != 22 {
				t.Errorf("clients by server: %v", got)
			}
			for _, c := range conns {
				c.Close()
			}
			await(t, "the end of all connections", func() bool { return r.p.Conns() == 0 })
		}
		if a.most.Load() > 5+5 || b.most.Load() > 3+3 { // an echo may see a new client before the end of an old one
			t.Errorf("at the same time: %d on a, %d on b", a.most.Load(), b.most.Load())
		}
	})
}

// TestHardLimit has known clients use the places beyond the soft limit.
func TestHardLimit(t *testing.T) {
	r := start(t, setup{servers: confs(serve(t, 'a').addr)})
	r.update(0, func(c *balance.Config) { c.Max, c.Hard = 2, 4 })
	hold := func(from string) (name byte) {
		c := r.dial(0, from)
		return who(t, c)
	}
	for _, step := range []struct {
		from string
		want byte
	}{
		{"127.0.0.2", 'a'}, {"127.0.0.3", 'a'}, // the soft limit
		{"127.0.0.4", 0},                       // unknown
		{"127.0.0.2", 'a'}, {"127.0.0.3", 'a'}, // known
		{"127.0.0.2", 0}, // the hard limit
		{"127.0.0.4", 0},
	} {
		if got := hold(step.from); got != step.want {
			t.Fatalf("%s got %q, want %q", step.from, got, step.want)
		}
	}
	if got := r.p.Servers.Conns(0); got != 4 {
		t.Errorf("%d places taken", got)
	}
}

// TestConnMax fills all places over two workers: who comes later waits, wherever it came, and is served when any
// place is freed on any worker.
func TestConnMax(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := serve(t, 'a')
		r := start(t, setup{engine: engine, servers: confs(s.addr), set: func(s *settings.Settings) {
			s.ConnMax, s.ConnMaxHard = 4, true
		}})
		var in []*net.TCPConn
		for i := range 4 {
			c := r.dial(i % 2)
			if who(t, c) != 'a' {
				t.Fatalf("client %d is not served", i)
			}
			in = append(in, c)
		}
		var out []*net.TCPConn
		for i := range 12 {
			out = append(out, r.dial(i%2))
		}
		if !waits(out[0]) || !waits(out[1]) || !waits(out[11]) {
			t.Fatal("served beyond the limit")
		}
		if n := r.p.Conns(); n != 4 {
			t.Errorf("%d connections, want 4", n)
		}
		// Both places of one worker become free: clients of the other must be able to use them as well.
		in[0].Close()
		in[2].Close()
		served := make(chan *net.TCPConn)
		var wg sync.WaitGroup
		for _, c := range out {
			wg.Go(func() {
				if who(t, c) != 'a' {
					t.Error("closed instead of served")
				}
				served <- c
			})
		}
		for range out {
			select {
			case c := <-served:
				if n := r.p.Conns(); n > 4 {
					t.Errorf("%d connections", n)
				}
				c.Close()
			case <-time.After(patience):
				t.Fatalf("nobody is served any more: %s", r.left())
			}
		}
		wg.Wait()
		if n := s.all.Load(); n != 16 {
			t.Errorf("%d connections to the server", n)
		}
	})
}

// TestConnMaxRaised lets those who wait in by raising the limit, and counts on from a lowered one.
func TestConnMaxRaised(t *testing.T) {
	r := start(t, setup{servers: confs(serve(t, 'a').addr), set: func(s *settings.Settings) {
		s.ConnMax, s.ConnMaxHard = 1, true
	}})
	first, second, third := r.dial(0), r.dial(1), r.dial(0)
	if who(t, first) != 'a' || !waits(second) || !waits(third) {
		t.Fatal("the limit of 1 does not hold")
	}
	r.set(func(s *settings.Settings) { s.ConnMax = 3 })
	if who(t, second) != 'a' || who(t, third) != 'a' {
		t.Error("not served after the limit was raised")
	}
	r.set(func(s *settings.Settings) { s.ConnMax = 1 })
	ask(t, third, "those inside stay")
	second.Close()
	third.Close()
	await(t, "two ends", func() bool { return r.p.Conns() == 1 })
	late := r.dial(1)
	if !waits(late) {
		t.Error("served beyond the lowered limit")
	}
	first.Close()
	if who(t, late) != 'a' {
		t.Error("not served")
	}
}

// TestConnMaxGrows has no limit been asked for: the size grows with the connections.
func TestConnMaxGrows(t *testing.T) {
	r := start(t, setup{servers: confs(serve(t, 'a').addr), maxConns: 40, set: func(s *settings.Settings) { s.ConnMax = 5 }})
	for i := range 40 {
		if who(t, r.dial(i%2)) != 'a' {
			t.Fatal("closed")
		}
	}
	if !waits(r.dial(0)) {
		t.Error("more than the descriptors allow")
	}
	if n := r.p.Settings.Get().ConnMax; n != 40 {
		t.Errorf("conn_max has grown to %d, want 40", n)
	}
}

// TestPendingMax bounds the connects that are under way, over both workers; those who wait are served in the end.
func TestPendingMax(t *testing.T) {
	var d net.Dialer
	hole := testnet.BlackHole(t, testnet.Loopback(t), d.DialContext)
	r := start(t, setup{servers: confs(serve(t, 'a').addr, hole), set: func(s *settings.Settings) {
		s.PendingMax, s.ConnectTimeout, s.Rules.RoundRobin = 3, time.Second, true
	}})
	var conns []net.Conn
	for i := range 12 { // every other one is for the black hole
		conns = append(conns, r.dial(i%2))
	}
	await(t, "3 connects", func() bool { return r.p.pending.Load() == 3 })
	if n := r.p.Conns(); n > 6 {
		t.Errorf("%d sessions with 3 connects", n)
	}
	for i, c := range conns {
		if got := who(t, c); got != 'a' {
			t.Errorf("client %d got %q", i, got)
		}
		if n := r.p.pending.Load(); n > 3 || n < 0 {
			t.Errorf("%d connects", n)
		}
	}
}

// TestGone has clients leave while they wait for a place or a server.
func TestGone(t *testing.T) {
	var d net.Dialer
	hole := testnet.BlackHole(t, testnet.Loopback(t), d.DialContext)
	r := start(t, setup{servers: confs(hole), set: func(s *settings.Settings) {
		s.ConnMax, s.ConnMaxHard, s.ConnectTimeout = 3, true, time.Second
	}})
	for i := range 10 {
		c := r.dial(i % 2)
		if i%3 == 0 {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
	await(t, "3 connects", func() bool { return r.p.pending.Load() == 3 })
	live := conf(serve(t, 'a').addr)
	r.update(0, func(c *balance.Config) { *c = live })
	r.p.Servers.SetBlacklist(&r.p.Settings.Get().Rules, 0, 0, r.now())
	await(t, "the blacklist", func() bool {
		r.p.Servers.SetBlacklist(&r.p.Settings.Get().Rules, 0, 0, r.now())
		return r.p.pending.Load() == 0
	})
	await(t, "the end", func() bool { return r.p.Conns() == 0 })
	r.p.Servers.SetBlacklist(&r.p.Settings.Get().Rules, 0, 0, r.now())
	if who(t, r.dial(0)) != 'a' {
		t.Error("not served afterwards")
	}
}
