package control

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEffectiveAtStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines  string
		engine string
	}{
		{"engine uring", "uring"},
		{"engine nonsense", ""},
		{"engine uring;engine best", ""},
	} {
		e, r, _ := newEnv(t)
		r.serving = false
		do(e, strings.Split(tt.lines, ";")...)
		if got := e.Settings.Get().Engine; got != tt.engine {
			t.Errorf("%s: engine %q, want %q", tt.lines, got, tt.engine)
		}
	}
	e, r, log := newEnv(t)
	r.serving = false
	do(e, "threads 2", "clients_max 7", "conn_max 9", "engine portable")
	r.serving = true
	do(e, "threads 2", "engine portable") // a file read again: nothing new, nothing to complain about
	if s := log.String(); s != "" {
		t.Errorf("log: %s", s)
	}
	do(e, "threads 5", "engine epoll", "clients_max 3", "conn_max 3")
	s := e.Settings.Get()
	if s.Threads != 2 || s.Engine != "portable" || s.ClientsMax != 7 || s.ConnMax != 9 || !s.ConnMaxHard {
		t.Errorf("settings %+v", s)
	}
	want := "test: threads: effective only at start\ntest: engine: effective only at start\n"
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestEngineFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, goos, want string }{
		{"epoll", "linux", "epoll"}, {"poll", "linux", "epoll"}, {"select", "linux", "epoll"}, {"kqueue", "linux", ""},
		{"epoll", "freebsd", "kqueue"}, {"kqueue", "darwin", "kqueue"}, {"select", "openbsd", "kqueue"},
		{"epoll", "windows", ""}, {"kqueue", "illumos", ""},
	} {
		if got := engineFor(tt.method, tt.goos); got != tt.want {
			t.Errorf("%s on %s: %q, want %q", tt.method, tt.goos, got, tt.want)
		}
	}
	e, r, _ := newEnv(t)
	r.serving = false
	do(e, "engine uring", "poll")
	if got, want := e.Settings.Get().Engine, engineFor("poll", runtime.GOOS); got != want {
		t.Errorf("poll chose %q, want %q", got, want)
	}
}

func TestSizesBeforeStart(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	r.serving, e.Clients = false, nil
	if got := do(e, "clients_max 7", "clients_max 5", "recent", "clients_max"); got != "7\n" {
		t.Errorf("clients_max is %q", got)
	}
	if got := do(e, "conn_max abc", "conn_max 9", "conn_max 3"); got != "9\n" {
		t.Errorf("conn_max is %q", got)
	}
}

func TestClientsMaxGrowsTheTable(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	do(e, "clients_max 5000")
	if got := e.Clients.Max(); got != 5000 {
		t.Errorf("room for %d clients", got)
	}
}
