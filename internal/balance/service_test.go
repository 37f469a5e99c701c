package balance

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var localhost = netip.MustParseAddr("127.0.0.1")

// newService has a usable server for each of cs, which need not say where it is.
func newService(t testing.TB, p Permitter, cs ...Config) *Service {
	t.Helper()
	s := New(p)
	for i, c := range cs {
		set(t, s, i, c)
	}
	return s
}

func set(t testing.TB, s *Service, i int, c Config) {
	t.Helper()
	c.Addr, c.Port = localhost, 80
	if err := s.Update(i, func(dst *Config) { *dst = c }); err != nil {
		t.Fatal(err)
	}
}

func TestUpdate(t *testing.T) {
	s := New(nil)
	if err := s.Update(3, func(c *Config) { c.Max = 7 }); err != nil {
		t.Fatal(err)
	}
	if s.Len() != 4 {
		t.Errorf("Len = %d, want 4", s.Len())
	}
	before := s.Target(3)
	s.AddTraffic(3, 1, 2)
	if err := s.Update(3, func(c *Config) { c.Hard = 9 }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Config{Max: 7, Hard: 9}, s.Config(3), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if before.Hard != 0 || s.Target(3).Hard != 9 {
		t.Error("the old target changed, or the new one did not")
	}
	if up, down := s.Traffic(3); up != 1 || down != 2 {
		t.Errorf("traffic is %d %d after an update", up, down)
	}
	for _, i := range []int{Emergency, Abuse, 0, MaxServers - 1} {
		if err := s.Update(i, func(c *Config) { c.Prio = 5 }); err != nil || s.Config(i).Prio != 5 {
			t.Errorf("Update(%d): %v, %+v", i, err, s.Config(i))
		}
	}
	for _, i := range []int{None, -4, MaxServers, 99999999} {
		if err := s.Update(i, func(*Config) { t.Errorf("Update(%d) calls f", i) }); err == nil {
			t.Errorf("Update(%d) succeeds", i)
		}
	}
	if s.Len() != MaxServers {
		t.Errorf("Len = %d", s.Len())
	}
}

func TestUsable(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Config
		want bool
	}{
		{"empty", Config{}, false},
		{"no port", Config{Addr: localhost}, false},
		{"no address", Config{Port: 80}, false},
		{"retired", Config{Addr: netip.IPv4Unspecified(), Port: 80}, false},
		{"complete", Config{Addr: localhost, Port: 80}, true},
		{"unix", Config{Path: "/run/x"}, true},
	} {
		if got := tc.c.Usable(); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestBlacklist(t *testing.T) {
	const start = int64(1e18)
	at := func(d time.Duration) int64 { return start + int64(d) }
	half, minute := &Rules{Blacklist: 30 * time.Second}, &Rules{Blacklist: time.Minute}
	s := newService(t, nil, Config{})
	check := func(r *Rules, d time.Duration, want bool) {
		t.Helper()
		if got := s.Available(r, 0, at(d)); got != want {
			t.Errorf("after %v: available is %v", d, got)
		}
	}

	check(half, 0, true)
	s.Fail(0, start)
	check(half, 0, false)
	check(half, 30*time.Second-1, false)
	check(half, 30*time.Second, true)
	check(minute, 30*time.Second, false) // a new value counts for running penalties
	if got := s.FailedAt(0); got != start {
		t.Errorf("failed at %d", got)
	}

	s.SetBlacklist(half, 0, 2*time.Second, start)
	check(half, time.Second, false)
	check(half, 2*time.Second, true)
	if got, want := s.FailedAt(0), at(-28*time.Second); got != want {
		t.Errorf("failed at %d, want %d", got, want)
	}

	s.SetBlacklist(half, 0, time.Hour, start)
	s.Fail(0, at(time.Second)) // a connection that was under way
	check(half, time.Hour-1, false)
	check(half, time.Hour, true)

	s.SetBlacklist(half, 0, time.Hour, start)
	s.SetBlacklist(half, 0, 0, at(time.Second))
	check(half, time.Second, true)
	if got := s.FailedAt(0); got != 0 {
		t.Errorf("failed at %d after the penalty was lifted", got)
	}
}

func TestReleaseWithoutPlacePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	newService(t, nil, Config{}).Release(0)
}
