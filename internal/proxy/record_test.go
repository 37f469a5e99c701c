package proxy

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring/ringtest"
)

// recorded is a line of the log in JSON, without what differs from run to run.
type recorded struct {
	Client, Server, Cause, Request string
	Up, Down                       uint64
}

// recording is a rig that logs to a file in JSON; the lines are those since the last call.
func recording(t *testing.T, u setup) (*rig, func() []recorded) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	dest, err := accesslog.ParseDest(file)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, u)
	if err := r.log.Open(dest, accesslog.JSON); err != nil {
		t.Fatal(err)
	}
	r.p.Refresh()
	r.p.Sync()
	return r, func() (lines []recorded) {
		t.Helper()
		if err := r.log.Open(dest, accesslog.JSON); err != nil { // the lines of before are in the file then
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var l struct {
				recorded
				Time    time.Time
				Seconds float64
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.Seconds < 0 || time.Since(l.Time) > patience {
				t.Errorf("%q: %v", line, err)
			}
			lines = append(lines, l.recorded)
		}
		return lines
	}
}

// TestRecord ends connections in every way that a peer or an operator can, on every engine.
func TestRecord(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := serve(t, 'a')
		r, lines := recording(t, setup{engine: engine, servers: confs(s.addr)})
		ended := func() { await(t, "the end", func() bool { return r.p.Conns() == 0 }) }
		const one, two = "GET /one HTTP/1.0\r\nHost: x\r\n\r\n", "again\n"
		const up = uint64(len(one + two))
		for _, tt := range []struct {
			name string
			end  func(c *net.TCPConn)
			want recorded
		}{
			{"client", func(c *net.TCPConn) { c.CloseWrite(); _, _ = io.Copy(io.Discard, c) },
				recorded{Cause: "client", Up: up, Down: up + 1}},
			{"client's reset", func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
				recorded{Cause: "client-reset", Up: up, Down: up + 1}},
			{"operator", func(*net.TCPConn) { r.p.CloseConn(0) }, recorded{Cause: "operator", Up: up, Down: up + 1}},
			{"idle", func(*net.TCPConn) {
				r.set(func(s *settings.Settings) { s.IdleTimeout = 10 * time.Millisecond })
				ended()
				r.set(func(s *settings.Settings) { s.IdleTimeout = 0 })
			}, recorded{Cause: "idle", Up: up, Down: up + 1}},
		} {
			c := r.dial(0, "127.0.0.3")
			who(t, c)
			ask(t, c, one)
			ask(t, c, two)
			tt.end(c)
			ended()
			tt.want.Client, tt.want.Server, tt.want.Request = "127.0.0.3", "127.0.0.1", "GET /one HTTP/1.0"
			if d := cmp.Diff([]recorded{tt.want}, lines()); d != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, d)
			}
		}
	})
}

// TestRecordOfServers has servers that end connections, or are not there.
func TestRecordOfServers(t *testing.T) {
	ending := testnet.Serve(t, testnet.Loopback(t), func(context.Context, *net.TCPConn) {})
	resetting := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) { _ = c.SetLinger(0) })
	r, lines := recording(t, setup{servers: confs(ending)})
	for _, tt := range []struct {
		port uint16
		want recorded
	}{
		{ending.Port(), recorded{Server: "127.0.0.1", Cause: "server"}},
		{resetting.Port(), recorded{Server: "127.0.0.1", Cause: "server-reset"}},
		{refusing(t).Port(), recorded{Server: "-", Cause: "no-server"}},
	} {
		r.update(0, func(c *balance.Config) { c.Port = tt.port })
		c := r.dial(0)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
		await(t, "the end", func() bool { return r.p.Conns() == 0 })
		tt.want.Client = "127.0.0.1"
		if d := cmp.Diff([]recorded{tt.want}, lines()); d != "" {
			t.Errorf("port %d (-want +got):\n%s", tt.port, d)
		}
	}
}

// TestRecordBegins switches to JSON while a client is connected: it has no request yet, and gets its next one.
func TestRecordBegins(t *testing.T) {
	s := serve(t, 'a')
	r, lines := recording(t, setup{servers: confs(s.addr)})
	if err := r.log.Off(); err != nil {
		t.Fatal(err)
	}
	r.p.Refresh()
	c := r.dial(0)
	who(t, c)
	ask(t, c, "unseen\n")
	if got := lines(); got != nil { // which opens the log again
		t.Errorf("%v", got)
	}
	r.p.Refresh()
	r.p.Sync()
	ask(t, c, "seen\n")
	c.Close()
	await(t, "the end", func() bool { return r.p.Conns() == 0 })
	want := []recorded{{Client: "127.0.0.1", Server: "127.0.0.1", Cause: "client", Request: "seen", Up: 12, Down: 13}}
	if d := cmp.Diff(want, lines()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	p, _, log := newProxy(t, setup{workers: 1, servers: confs(refusing(t)), maxConns: 1})
	t.Cleanup(func() { log.Close() })
	if err := log.Open(accesslog.Dest{Path: os.DevNull}, accesslog.JSON); err != nil {
		t.Fatal(err)
	}
	w := p.NewWorker(ringtest.NewFake(t, 1), 0)
	s, data := w.slab.get(), []byte("GET / HTTP/1.0\r\n")
	w.keep(s, data)
	if n := testing.AllocsPerRun(100, func() { w.keep(s, data); w.record(s, byClient) }); n != 0 {
		t.Errorf("%v allocations for a connection", n)
	}
}

// TestCauses wants a word of its own for each cause.
func TestCauses(t *testing.T) {
	t.Parallel()
	seen := map[string]cause{}
	for c := byClient; c <= withProgram; c++ {
		if before, ok := seen[c.String()]; ok || c.String() == "" || strings.ContainsAny(c.String(), " \"") {
			t.Errorf("cause %d is called %q, as is %d", c, c, before)
		}
		seen[c.String()] = c
	}
}
