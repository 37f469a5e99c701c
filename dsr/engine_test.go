package dsr

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
)

// fakeNIC is an interface that nothing comes from. It keeps what was last asked of it.
type fakeNIC struct {
	wanted  []VIP
	refuses error
	sent    int
	ways    way
	noWay   error       // instead of ways
	times   []time.Time // when something was sent
	full    error       // of publish
	tables  int         // that publish has taken
}

func (n *fakeNIC) send([]byte) error { n.sent++; n.times = append(n.times, time.Now()); return nil }
func (n *fakeNIC) update(c *Config) error {
	if n.refuses == nil {
		n.wanted = c.VIPs
	}
	return n.refuses
}
func (n *fakeNIC) source(wire.Addr) wire.Addr               { return ip("10.9.0.99") }
func (n *fakeNIC) refresh() (map[wire.Addr]wire.MAC, error) { return nil, nil }
func (n *fakeNIC) own() []wire.Addr                         { return nil }
func (n *fakeNIC) mac() wire.MAC                            { return ours }
func (n *fakeNIC) run() error                               { return nil }
func (n *fakeNIC) stop()                                    {}
func (n *fakeNIC) lost() (frames, rings uint64)             { return 3, 1 }
func (n *fakeNIC) features() (works []string, lacks []Lack) { return nil, nil }
func (n *fakeNIC) mode(*Config) (Mode, string)              { return Packet, "" }
func (n *fakeNIC) publish(*tables) error {
	if n.full == nil {
		n.tables++
	}
	return n.full
}
func (n *fakeNIC) way(wire.Addr) (way, error) { return n.ways, n.noWay }
func (n *fakeNIC) close() error               { return nil }

func newTestEngine(t *testing.T) (*Engine, *fakeNIC) {
	e := newEngine(Options{Interface: "fake", Threads: 2, Logf: t.Logf})
	nic := &fakeNIC{}
	e.nic = nic
	e.publish()
	return e, nic
}

// forwards sends n frames of different clients through thread i.
func forwards(t *testing.T, e *Engine, i, n int, to wire.Addr) {
	t.Helper()
	f := e.forwarder(i)
	for c := range n {
		if v, _ := f.Process(e.tables.Load(), segment(host(c), to, 1, 80, wire.FlagSYN), 0, 0); v != Forwarded {
			t.Fatalf("%s, want forwarded", causes[v])
		}
	}
}

func TestCountsAddUp(t *testing.T) {
	t.Parallel()
	e, nic := newTestEngine(t)
	webVIP, allVIP := VIP{web.Netip(), 80, TCP}, VIP{all.Netip(), 0, Both}
	c := Config{VIPs: []VIP{webVIP, allVIP}, Servers: []Server{server(1), server(2)}}
	if err := e.Configure(c); err != nil {
		t.Fatal(err)
	}
	if nic.sent != 2 {
		t.Errorf("%d questions, want 2", nic.sent)
	}
	e.hear(at(1))
	e.hear(at(2))
	forwards(t, e, 0, 30, web)
	forwards(t, e, 1, 20, web)
	forwards(t, e, 1, 10, all)
	c.VIPs = []VIP{allVIP, webVIP, {dns.Netip(), 53, UDP}} // their numbers change, their counts do not
	if err := e.Configure(c); err != nil {
		t.Fatal(err)
	}
	forwards(t, e, 0, 5, web)
	s := e.Stats()
	var got []uint64
	for _, v := range s.VIPs {
		got = append(got, v.Packets)
	}
	if d := cmp.Diff([]uint64{10, 55, 0}, got); d != "" {
		t.Errorf("VIPs: %s", d)
	}
	drained := func() (sum Traffic) {
		e.Drain(func(id int, t Traffic) {
			if id == 1 || id == 2 {
				sum.Packets, sum.Bytes = sum.Packets+t.Packets, sum.Bytes+t.Bytes
			}
		})
		return sum
	}
	if d := cmp.Diff(Traffic{65, 65 * 54}, drained()); d != "" || drained() != (Traffic{}) {
		t.Errorf("drained: %s", d)
	}
	e.forwarder(0).Process(e.tables.Load(), nil, 0, 0)
	if s = e.Stats(); len(s.Drops) != 1 || s.Drops[0] != (Drop{"truncated", 1}) || s.Lost != 3 || s.Reopened != 1 {
		t.Errorf("drops %v, lost %d, reopened %d", s.Drops, s.Lost, s.Reopened)
	}
}

// Servers that are new and silent are asked soon again, those that have answered are not.
func TestNewServersAreAskedSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, nic := newTestEngine(t)
		var ended sync.WaitGroup
		ended.Go(e.watch)
		defer ended.Wait()
		defer close(e.stopped)
		asked := func(c Config, length time.Duration, answers ...neighbour) (ms []int64) {
			t.Helper()
			nic.times = nil
			begin := time.Now()
			if err := e.Configure(c); err != nil {
				t.Fatal(err)
			}
			for _, n := range answers {
				e.tell(n)
			}
			time.Sleep(length)
			synctest.Wait()
			for _, at := range nic.times {
				ms = append(ms, at.Sub(begin).Milliseconds())
			}
			return ms
		}
		c := Config{VIPs: []VIP{{web.Netip(), 80, TCP}}, Servers: []Server{server(1)}}
		if d := cmp.Diff([]int64{0, 100, 300, 700, 1000, 2000}, asked(c, 2500*time.Millisecond)); d != "" {
			t.Errorf("a silent server: %s", d)
		}
		c.Servers = append(c.Servers, server(2))
		if d := cmp.Diff([]int64{0, 0, 100, 300, 500, 500}, asked(c, 600*time.Millisecond, at(1))); d != "" {
			t.Errorf("beside one that answers: %s", d)
		}
		if d := cmp.Diff([]int64{0}, asked(c, 350*time.Millisecond, at(2))); d != "" {
			t.Errorf("all have answered: %s", d)
		}
	})
}

// Tables that the kernel does not take are not forgotten, nor complained about each second.
func TestTablesAreOfferedAgain(t *testing.T) {
	t.Parallel()
	e, nic := newTestEngine(t)
	complaints := 0
	e.opts.Logf = func(string, ...any) { complaints++ }
	before := nic.tables
	nic.full = errors.New("no memory")
	if err := e.Configure(Config{VIPs: []VIP{{web.Netip(), 80, TCP}}}); err != nil {
		t.Fatal(err)
	}
	e.turn(false)
	e.turn(false)
	if complaints != 1 || nic.tables != before {
		t.Errorf("%d complaints, %d tables taken", complaints, nic.tables-before)
	}
	nic.full = nil
	e.turn(false)
	e.turn(false)
	if nic.tables != before+1 {
		t.Errorf("%d tables taken, want 1", nic.tables-before)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	e, nic := newTestEngine(t)
	good := Config{VIPs: []VIP{{web.Netip(), 80, TCP}}, Servers: []Server{server(1)}}
	if err := e.Configure(good); err != nil {
		t.Fatal(err)
	}
	many := make([]VIP, MaxVIPs+1)
	for name, c := range map[string]Config{
		"too many addresses":          {VIPs: many},
		"too many servers":            {Servers: make([]Server, MaxServers)},
		"no address":                  {VIPs: []VIP{{Proto: TCP}}},
		"an address of everybody":     {VIPs: []VIP{{netip.IPv4Unspecified(), 80, TCP}}},
		"a group":                     {VIPs: []VIP{{netip.MustParseAddr("ff02::1"), 80, TCP}}},
		"no protocol":                 {VIPs: []VIP{{web.Netip(), 80, 0}}},
		"a server as virtual address": {VIPs: []VIP{{server(1).Addr, 80, TCP}}, Servers: []Server{server(1)}},
	} {
		if e.Configure(c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	nic.refuses = errors.New("no more")
	if err := e.Configure(Config{}); !errors.Is(err, nic.refuses) {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff(good.VIPs, nic.wanted, cmp.Comparer(func(a, b VIP) bool { return a == b })); d != "" || len(e.Stats().Servers) != 1 {
		t.Errorf("a refused configuration had an effect: %s", d)
	}
}

func TestParseVIP(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]VIP{
		"10.0.0.1":             {netip.MustParseAddr("10.0.0.1"), 0, TCP},
		"10.0.0.1:80":          {netip.MustParseAddr("10.0.0.1"), 80, TCP},
		"10.0.0.1:53/udp":      {netip.MustParseAddr("10.0.0.1"), 53, UDP},
		"fd00::1/tcp":          {netip.MustParseAddr("fd00::1"), 0, TCP},
		"[fd00::1]":            {netip.MustParseAddr("fd00::1"), 0, TCP},
		"[fd00::1]:443/udp":    {netip.MustParseAddr("fd00::1"), 443, UDP},
		"[::ffff:10.0.0.1]:80": {netip.MustParseAddr("10.0.0.1"), 80, TCP},
		"":                     {},
		"name:80":              {},
		"10.0.0.1:0":           {},
		"10.0.0.1:65536":       {},
		"10.0.0.1:80/sctp":     {},
		"/run/pen":             {},
	} {
		got, err := ParseVIP(text, TCP)
		if got != want || (err == nil) != want.Addr.IsValid() {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if err == nil {
			if again, err := ParseVIP(got.String(), Both); again != got || err != nil {
				t.Errorf("%q is written %v", text, got)
			}
		} else if !strings.HasPrefix(err.Error(), "virtual address ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
