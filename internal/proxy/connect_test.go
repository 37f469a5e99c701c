package proxy

import (
	"net/netip"
	"testing"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
)

// TestPrepare wants the settings in the options of sockets, and nothing of those before.
func TestPrepare(t *testing.T) {
	t.Parallel()
	var w Worker
	for _, tt := range []struct {
		set  settings.Settings
		want sock.Options
	}{
		{settings.Settings{Congestion: "reno", Source: netip.MustParseAddr("10.0.0.1")},
			sock.Options{NoDelay: true, Congestion: "reno", Bind: netip.MustParseAddrPort("10.0.0.1:0")}},
		{settings.Settings{}, sock.Options{NoDelay: true}},
	} {
		if w.prepare(&tt.set); w.opts != tt.want {
			t.Errorf("%+v, want %+v", w.opts, tt.want)
		}
	}
}
