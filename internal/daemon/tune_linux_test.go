package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/ring"
)

func TestSpinOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		set   time.Duration
		loops int
		want  ring.Spin
	}{
		{settings.SpinOff, 2, ring.Spin{}},
		{settings.SpinAuto, 2, ring.Spin{Most: autoSpin, Share: 0.05}},
		{20 * time.Microsecond, 2, ring.Spin{Most: 20 * time.Microsecond}},
	} {
		if got := spinOf(tt.set, tt.loops); got != tt.want {
			t.Errorf("%v for %d loops: %+v, want %+v", tt.set, tt.loops, got, tt.want)
		}
	}
}

// TestTune changes what concerns loops and sockets while they are in use.
func TestTune(t *testing.T) {
	addr := place127()
	served(t, func(d *Daemon) {
		if d.spin.Most != autoSpin {
			t.Errorf("at start: %+v", d.spin)
		}
		d.do(t, "spin 20")
		c := dial(t, addr)
		if d.spin.Most != 20*time.Microsecond || who(t, c) != 'a' {
			t.Errorf("later: %+v", d.spin)
		}
		if got := d.do(t, "engine"); !strings.Contains(got, "\nspin 20\npipes ") {
			t.Errorf("%q", got)
		}
		if got := d.do(t, "json congestion nosuch"); !strings.Contains(got, "the system has none of that name") {
			t.Errorf("%q", got)
		}
		if got := d.do(t, "congestion"); got != "reno\n" {
			t.Errorf("%q", got)
		}
	}, addr, greeter(t, 'a').String(), "-O", "spin auto", "-O", "congestion reno", "-O", "engine epoll")
}
