package tproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestSource(t *testing.T) {
	for _, tt := range []struct {
		client, server string // empty: a Unix socket
		theirs         bool
	}{
		{"192.0.2.1", "198.51.100.1", true},
		{"2001:db8::1", "2001:db8:1::1", true},
		{"127.0.0.2", "127.0.0.3", true},
		{"192.0.2.1", "2001:db8::1", false},
		{"2001:db8::1", "192.0.2.1", false},
		{"", "192.0.2.1", false},
		{"192.0.2.1", "", false},
		{"127.0.0.1", "192.0.2.1", false},
		{"192.0.2.1", "127.0.0.1", false},
		{"fe80::1%2", "2001:db8::1", false},
		{"169.254.1.1", "192.0.2.1", false},
	} {
		var said strings.Builder
		f := &Face{Logf: func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }}
		client, _ := netip.ParseAddr(tt.client)
		server, _ := netip.ParseAddr(tt.server)
		for range 3 {
			if theirs, err := f.Source(client, server, false); theirs != tt.theirs || err != nil {
				t.Errorf("%s to %s: %v, %v", tt.client, tt.server, theirs, err)
			}
		}
		theirs, err := f.Source(client, server, true)
		if theirs != tt.theirs || errors.Is(err, ErrRefused) == tt.theirs {
			t.Errorf("%s to %s, strict: %v, %v", tt.client, tt.server, theirs, err)
		}
		want, lines := Stats{Theirs: 4}, 0
		if !tt.theirs {
			want, lines = Stats{Ours: 3, Refused: 1}, 1 // the others come too soon
		}
		if got := f.Stats(); got != want {
			t.Errorf("%s to %s: %+v, want %+v", tt.client, tt.server, got, want)
		}
		if n := strings.Count(said.String(), "\n"); n != lines {
			t.Errorf("%s to %s: said %q", tt.client, tt.server, &said)
		}
	}
}

func TestPorts(t *testing.T) {
	f, seen := &Face{}, map[uint16]bool{}
	for range 100 {
		p := f.Port()
		if seen[p] = true; p < 1024 {
			t.Errorf("port %d", p)
		}
	}
	if len(seen) < 50 || f.Stats().Ports != 100 {
		t.Errorf("%d ports, %+v", len(seen), f.Stats())
	}
	for err, want := range map[error]bool{
		syscall.EADDRNOTAVAIL: true, fmt.Errorf("connect: %w", syscall.EADDRINUSE): true,
		syscall.ECONNREFUSED: false, syscall.EPERM: false, ErrRefused: false,
	} {
		if Again(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
