package control

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penlb/pen/internal/settings"
)

func TestUDPSettings(t *testing.T) {
	t.Parallel()
	type set = settings.Settings
	for _, tt := range []struct {
		line, reply string
		want        func(*set)
	}{
		{"udp_timeout", "60\n", nil},
		{"udp_timeout 5", "5\n", func(s *set) { s.UDPTimeout = 5 * time.Second }},
		{"udp_timeout 0", "0\n", func(s *set) { s.UDPTimeout = 0 }},
		{"udp_timeout -1", "0\n", func(s *set) { s.UDPTimeout = 0 }},
		{"udp_reply_timeout 250", "250\n", func(s *set) { s.UDPReplyTimeout = 250 * time.Millisecond }},
		{"udp_responses 1", "1\n", func(s *set) { s.UDPResponses = 1 }},
		{"udp_responses -1", "0\n", nil},
		{"udp_sessions_max 1000", "1000\n", func(s *set) { s.UDPSessionsMax = 1000 }},
		{"udp_connected", "", func(s *set) { s.UDPConnected = true }},
		{"udp_connected on", "", func(s *set) { s.UDPConnected = true }},
		{"udp_connected off", "", nil},
		{"udp_nosession on", "", func(s *set) { s.UDPNoSession = true }},
	} {
		e, _, _ := newEnv(t)
		want := *e.Settings.Get()
		if tt.want != nil {
			tt.want(&want)
		}
		if got, err := e.Run(tt.line, Position{Source: "test"}); string(got) != tt.reply || err != nil {
			t.Errorf("%s: reply %q, %v; want %q", tt.line, got, err, tt.reply)
		}
		if d := cmp.Diff(want, *e.Settings.Get(), cmpopts.EquateComparable(want.Source, want.DSRSource4)); d != "" {
			t.Errorf("%s: %s", tt.line, d)
		}
		if _, err := e.Run("no udp_connected", Position{Source: "test"}); err != nil || e.Settings.Get().UDPConnected {
			t.Errorf("no udp_connected: %v, %v", e.Settings.Get().UDPConnected, err)
		}
	}
}

func TestUDPShows(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	want := "sessions 3\nup_sockets 2\n"
	if got, err := e.Run("udp", Position{Source: "test"}); string(got) != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
