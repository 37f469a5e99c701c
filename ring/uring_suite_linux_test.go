package ring_test

import (
	"testing"

	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

// openURing skips where the probe says that there is no io_uring, as in most containers.
func openURing(o ring.Options) func(testing.TB) ring.Loop {
	return func(t testing.TB) ring.Loop {
		t.Helper()
		for _, a := range ring.Probe() {
			if a.Name == "uring" && !a.OK {
				t.Skipf("no io_uring here: %s", a.Reason)
			}
		}
		l, err := ring.Open("uring", o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func TestURing(t *testing.T) { ringtest.Test(t, openURing(ring.Options{})) }

// TestURingSmall has tiny buffers, so that every operation takes many turns.
func TestURingSmall(t *testing.T) { ringtest.Test(t, openURing(ring.Options{BufSize: 512})) }
