package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/testnet"
)

// kinds of servers in the tables
const (
	live = iota
	refuses
	silent // a black hole
	noPort // an address of the loopback where nothing is
)

func TestFailover(t *testing.T) {
	var d net.Dialer
	hole := testnet.BlackHole(t, testnet.Loopback(t), d.DialContext)
	type result struct {
		who   string // who answers clients one after the other; '-': closed
		black []int  // servers that are blacklisted in the end
	}
	for _, c := range []struct {
		name      string
		servers   []int // named a, b, c
		emergency int   // named e; -1: none
		set       func(*settings.Settings)
		want      result
	}{
		// Server 1 is the first whose turn it is, as in pen.
		{"refused", []int{live, refuses}, -1, nil, result{"aa", []int{1}}},
		{"timeout", []int{live, silent}, -1, nil, result{"aa", []int{1}}},
		{"two in a row", []int{silent, refuses, live, live}, -1, nil, result{"cc", []int{1}}},
		{"once around", []int{live, silent, refuses}, -1, nil, result{"aa", []int{1, 2}}},
		{"port 0", []int{live, noPort}, -1, nil, result{"aa", nil}},
		{"not needed", []int{refuses, live}, -1, nil, result{"bb", nil}},
		{"round robin", []int{live, live, refuses}, -1,
			func(s *settings.Settings) { s.Rules.RoundRobin = true }, result{"baab", []int{2}}},
		{"stubborn", []int{live, refuses}, -1,
			func(s *settings.Settings) { s.Rules.Stubborn = true }, result{"-", []int{1}}},
		{"all dead", []int{refuses, refuses}, -1, nil, result{"--", []int{0, 1}}},
		{"emergency", []int{refuses, refuses}, live, nil, result{"ee", []int{0, 1}}},
		{"emergency dead", []int{refuses}, refuses, nil, result{"--", []int{0}}},
		{"emergency not needed", []int{live}, live, nil, result{"aa", nil}},
		{"no servers", nil, -1, nil, result{"-", nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at := func(kind int, name byte) netip.AddrPort {
				switch kind {
				case live:
					return serve(t, name).addr
				case refuses:
					return refusing(t)
				case silent:
					return hole
				}
				return netip.MustParseAddrPort("127.0.0.1:0")
			}
			u := setup{set: func(s *settings.Settings) {
				s.ConnectTimeout = time.Second
				if c.set != nil {
					c.set(s)
				}
			}}
			for i, kind := range c.servers {
				u.servers = append(u.servers, conf(at(kind, byte('a'+i))))
			}
			r := start(t, u)
			if c.emergency >= 0 {
				e := conf(at(c.emergency, 'e'))
				r.update(balance.Emergency, func(to *balance.Config) { *to = e })
			}
			for i, want := range []byte(c.want.who) {
				conn := r.dial(i % 2)
				got := who(t, conn)
				if got == 0 {
					got = '-'
				}
				if got != want {
					t.Errorf("client %d got %c, want %c", i, got, want)
				}
				if got != '-' {
					ask(t, conn, "hello")
				}
			}
			for i := range c.servers {
				want := false
				for _, b := range c.want.black {
					want = want || b == i
				}
				if got := r.blacklisted(i); got != want && c.servers[i] != noPort {
					t.Errorf("server %d: blacklisted %v, want %v", i, got, want)
				}
			}
		})
	}
}

// TestFailoverKeepsData has a client speak before there is a server.
func TestFailoverKeepsData(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := start(t, setup{engine: engine, servers: confs(refusing(t), refusing(t), serve(t, 'c').addr)})
		c := r.dial(0)
		if _, err := io.WriteString(c, "first words"); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "cfirst words" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestBlacklist has a server come back: it is asked again only when its time is over.
func TestBlacklist(t *testing.T) {
	dead := testnet.Loopback(t)
	addr := dead.Addr().(*net.TCPAddr).AddrPort()
	dead.Close()
	r := start(t, setup{servers: confs(addr, serve(t, 'b').addr), set: func(s *settings.Settings) {
		s.Tracking = time.Nanosecond // nobody is remembered
		s.Rules.Prio = true
	}})
	r.update(0, func(c *balance.Config) { c.Prio = 1 })
	r.update(1, func(c *balance.Config) { c.Prio = 2 })
	if got := who(t, r.dial(0)); got != 'b' || !r.blacklisted(0) {
		t.Fatalf("got %c, blacklisted %v", got, r.blacklisted(0))
	}
	l, err := net.Listen("tcp4", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	testnet.Serve(t, l, testnet.HalfClose([]byte("a")))
	if got := who(t, r.dial(1)); got != 'b' {
		t.Errorf("during the penalty: %c", got)
	}
	r.p.Servers.SetBlacklist(&r.p.Settings.Get().Rules, 0, 0, r.now())
	if got := who(t, r.dial(1)); got != 'a' {
		t.Errorf("after the penalty: %c", got)
	}
}

// TestReset has a server that resets what it has accepted.
func TestReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, after := range []int64{0, 1} {
			r := start(t, setup{engine: engine, servers: confs(testnet.Serve(t, testnet.Loopback(t), testnet.Reset(after)))})
			for i := range 10 {
				c := r.dial(i % 2)
				_, _ = io.WriteString(c, "x") // it may be gone already
				if got := who(t, c); got != 0 {
					t.Errorf("got %c", got)
				}
			}
			// A reset that comes at once may look like a connect that fails.
			if after > 0 && r.blacklisted(0) {
				t.Error("blacklisted though it had accepted")
			}
		}
	})
}

// TestAbuse has clients that client_acl denies: they get the abuse server and no other.
func TestAbuse(t *testing.T) {
	entry, err := acl.ParseEntry([]string{"deny", "127.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, setup{servers: confs(serve(t, 'a').addr), set: func(s *settings.Settings) { s.ClientACL = 3 }})
	if err := r.acl.Add(3, entry); err != nil {
		t.Fatal(err)
	}
	if got := who(t, r.dial(0, "127.0.0.9")); got != 0 {
		t.Errorf("no abuse server: got %c", got)
	}
	abuse := conf(serve(t, 'x').addr)
	r.update(balance.Abuse, func(c *balance.Config) { *c = abuse })
	if got := who(t, r.dial(0, "127.0.0.9")); got != 'x' {
		t.Errorf("denied: got %c", got)
	}
	if got := who(t, r.dial(1, "127.0.0.8")); got != 'a' {
		t.Errorf("permitted: got %c", got)
	}
	gone := conf(refusing(t))
	r.update(balance.Abuse, func(c *balance.Config) { *c = gone })
	if got := who(t, r.dial(1, "127.0.0.9")); got != 0 {
		t.Errorf("abuse server dead: got %c", got)
	}
}

// TestServerACL has the servers choose their clients.
func TestServerACL(t *testing.T) {
	entry, err := acl.ParseEntry([]string{"deny", "127.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, setup{servers: confs(serve(t, 'a').addr, serve(t, 'b').addr)})
	if err := r.acl.Add(2, entry); err != nil {
		t.Fatal(err)
	}
	r.update(0, func(c *balance.Config) { c.ACL = 2 })
	for range 2 {
		if got := who(t, r.dial(0, "127.0.0.9")); got != 'b' {
			t.Errorf("denied by a: got %c", got)
		}
	}
}

// TestRemembered has clients come back to their servers, and to another when theirs dies.
func TestRemembered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := testnet.Loopback(t)
	b := testnet.Serve(t, l, func(_ context.Context, c *net.TCPConn) {
		_, _ = c.Write([]byte{'b'})
		<-ctx.Done()
	})
	r := start(t, setup{servers: confs(serve(t, 'a').addr, b)})
	// Without a rule the servers are taken in turn, each client keeping his.
	first := who(t, r.dial(0, "127.0.0.2"))
	second := who(t, r.dial(0, "127.0.0.3"))
	if first == second {
		t.Errorf("both clients got %c", first)
	}
	for i := range 4 {
		if got := who(t, r.dial(i%2, "127.0.0.2")); got != first {
			t.Errorf("127.0.0.2 got %c after %c", got, first)
		}
		if got := who(t, r.dial(i%2, "127.0.0.3")); got != second {
			t.Errorf("127.0.0.3 got %c after %c", got, second)
		}
	}
	l.Close()
	cancel()
	for _, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.3"} {
		if got := who(t, r.dial(0, from)); got != 'a' {
			t.Errorf("%s got %c, and only a is left", from, got)
		}
	}
}
