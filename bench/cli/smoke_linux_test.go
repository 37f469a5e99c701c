package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/run"
	"github.com/penlb/pen/bench/scenario"
)

// The test program is its own worker, and as "bench" the whole program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "worker":
			os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
		case "bench":
			runtime.LockOSThread() // as main does
			os.Exit(Main(os.Args[2:], os.Stdout, os.Stderr))
		}
	}
	// Under the race detector every worker would end with a second of sleep.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// options of a run that needs neither a namespace nor any program but this one.
func smoke(t *testing.T, log *bytes.Buffer, scenarios ...scenario.Scenario) *run.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var peers []peer.Found
	for _, p := range peer.All() {
		if p.Name == peer.Direct || p.Name == "iocopy" {
			peers = append(peers, p.Find(""))
		}
	}
	return &run.Options{
		Self: []string{self, "worker"}, Peers: peers, Scenarios: scenarios, Rounds: 1, Window: 100 * time.Millisecond,
		ProxyCPU: -1, LoadCPU: -1, Dir: t.TempDir(), Log: log,
	}
}

func TestSmoke(t *testing.T) {
	ping := load.Group{Name: "rr", Kind: load.Ping, Conns: 4, Request: 64, Reply: 20_000}
	open := load.Group{Name: "open", Kind: load.Ping, Conns: 4, Request: 64, Reply: 64, Rate: 500}
	short := load.Group{Name: "short", Kind: load.Short, Conns: 2, Request: 64, Reply: 64}
	scenarios := []scenario.Scenario{
		{Name: "rr", Groups: []load.Group{ping}},
		{Name: "open", Groups: []load.Group{open}},
		{Name: "short", Groups: []load.Group{short}},
		{Name: "down", Groups: []load.Group{{Name: "down", Kind: load.Down, Conns: 2}}},
		{Name: "up", Groups: []load.Group{{Name: "up", Kind: load.Up, Conns: 2}}},
		{Name: "mixed", Groups: []load.Group{ping, short, {Name: "slow", Kind: load.Down, Conns: 2, Rate: 1e6}}},
		{Name: "udp", Groups: []load.Group{{Name: "ask", Kind: load.Ask, Conns: 4, Request: 64, Reply: 64}}},
		{Name: "udp-hot", Groups: []load.Group{{Name: "ask", Kind: load.Ask, Conns: 2, Depth: 8, Request: 64, Reply: 64}}},
		{Name: "udp-setup", Groups: []load.Group{{Name: "ask", Kind: load.AskOnce, Conns: 4, Request: 64, Reply: 64}}},
		{Name: "idle", Groups: []load.Group{{Name: "idle", Kind: load.Idle, Conns: 20, Request: 64, Reply: 64}}},
	}
	var log bytes.Buffer
	results, err := run.Run(context.Background(), smoke(t, &log, scenarios...))
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	for _, s := range results {
		for _, c := range s.Cells {
			if c.Error != "" || len(c.Samples) != 2 {
				t.Errorf("%s, %s: %d samples, error %q", s.Name, c.Peer, len(c.Samples), c.Error)
				continue
			}
			checkSample(t, s.Name+", "+c.Peer, &c.Samples[1], c.Peer != peer.Direct)
		}
	}
}

func checkSample(t *testing.T, name string, s *report.Sample, proxy bool) {
	t.Helper()
	if s.Proxy != proxy || proxy && s.RSS == 0 {
		t.Errorf("%s: proxy %v, %d bytes resident", name, s.Proxy, s.RSS)
	}
	for _, g := range s.Groups {
		if g.Bytes == 0 || g.Errors > 0 {
			t.Errorf("%s: group %s moved %d bytes, %d errors", name, g.Name, g.Bytes, g.Errors)
		}
		switch g.Kind {
		case load.Ping, load.Short, load.Ask, load.AskOnce:
			if g.Done == 0 || g.P50 <= 0 || g.P99 < g.P50 || g.Max < g.P999 {
				t.Errorf("%s: %+v", name, g)
			}
		}
		// 500 requests a second for a tenth of one; more would be a burst that was never due.
		if g.Name == "open" && g.Done > 100 {
			t.Errorf("%s: %d requests", name, g.Done)
		}
		// A megabyte a second for a tenth of one, each.
		if g.Name == "slow" && g.Bytes > 2*400_000 {
			t.Errorf("%s: slow readers read %d bytes", name, g.Bytes)
		}
	}
	if proxy && len(s.Groups) > 0 && s.CPU <= 0 {
		t.Errorf("%s: the proxy cost nothing", name)
	}
}

// A proxy that cannot work loses its cell, with its last words, and the others go on.
func TestBrokenProxy(t *testing.T) {
	var log bytes.Buffer
	o := smoke(t, &log, scenario.Scenario{Name: "rr", Groups: []load.Group{{Name: "rr", Kind: load.Ping, Conns: 1, Request: 64, Reply: 64}}})
	i := slices.IndexFunc(peer.All(), func(p peer.Peer) bool { return p.Name == "pen-epoll" })
	broken := peer.Found{Peer: peer.All()[i], Path: "/bin/false"}
	o.Peers = append([]peer.Found{broken}, o.Peers...)
	results, err := run.Run(context.Background(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	cells := results[0].Cells
	if !strings.Contains(cells[0].Error, "exit status 1") || len(cells[0].Samples) != 0 {
		t.Errorf("broken proxy: %d samples, error %q", len(cells[0].Samples), cells[0].Error)
	}
	for _, c := range cells[1:] {
		if c.Error != "" || len(c.Samples) != 2 {
			t.Errorf("%s: %d samples, error %q", c.Peer, len(c.Samples), c.Error)
		}
	}
}

func TestInterrupt(t *testing.T) {
	var log bytes.Buffer
	o := smoke(t, &log, scenario.Scenario{Name: "rr", Groups: []load.Group{{Name: "rr", Kind: load.Ping, Conns: 1, Request: 64, Reply: 64}}})
	o.Window = time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := run.Run(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
