package dsr

import (
	"testing"
	"time"
)

// A thread naps where it may expect two frames meanwhile, and else waits to be woken.
func TestNap(t *testing.T) {
	e, _ := newTestEngine(t)
	k := &worker{engine: e}
	for _, tt := range []struct {
		name string
		took int64
		over time.Duration
		want bool
	}{
		{"none", 0, time.Second, false},
		{"ten in a second", 10, time.Second, false},
		{"one just now", 1, napFor, false},
		{"ten just now", 10, napFor, true},
		{"a million in a second", 1e6, time.Second, true},
	} {
		k.took, k.since = tt.took, e.now()-int64(tt.over)
		before := e.now()
		if got := k.nap(); got != tt.want {
			t.Errorf("%s: nap %v", tt.name, got)
		}
		if tt.want && e.now()-before < int64(napFor) {
			t.Errorf("%s: up too early", tt.name)
		}
		if k.took != 0 || k.since < before {
			t.Errorf("%s: %d frames since %d", tt.name, k.took, k.since)
		}
	}
}
