package daemon

import (
	"time"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// What `spin auto` means: as long as a thread takes to wake up, and a tenth of one CPU for all loops together.
const (
	autoSpin  = 50 * time.Microsecond
	autoShare = 0.1
)

// spinOf is the setting for one of n loops.
func spinOf(d time.Duration, n int) ring.Spin {
	if d == settings.SpinAuto {
		return ring.Spin{Most: autoSpin, Share: autoShare / float64(n)}
	}
	return ring.Spin{Most: d}
}

// tune hands what the settings say of the loops to them, if it has changed.
func (d *Daemon) tune() {
	spin := spinOf(d.store.Get().Spin, len(d.loops))
	if spin == d.spin {
		return
	}
	d.spin = spin
	for _, l := range d.loops {
		l.Post(func() { l.SetSpin(spin) })
	}
}

// TryCongestion implements control.Runtime.
func (d *Daemon) TryCongestion(name string) error { return sock.TryCongestion(name) }
