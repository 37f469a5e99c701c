package daemon

import (
	"fmt"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// TestGarbage collects garbage all the time while wrk keeps the loops as busy as it can, and reports how long the
// collector stopped them. With PEN_SOAK, on a machine that has nothing else to do, 5 ms are the limit; in a run among
// others the scheduler of a full machine decides. wrk is nice, for where CPUs are few a thread that the collector waits for
// would wait for wrk.
func TestGarbage(t *testing.T) {
	need(t, "nginx", "wrk")
	length := max(time.Second, soakFor(t))
	eachEngine(t, func(t *testing.T, engine string) {
		behind := nginx(t, t.TempDir(), "keepalive_requests 100000000;")
		served(t, func(d *Daemon) {
			load := exec.Command("nice", "wrk", "-t", "1", "-c", "50", "-d", fmt.Sprint(int(length.Seconds()))+"s", "http://"+d.ListenSpec()+"/who")
			var out strings.Builder
			load.Stdout = &out
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- load.Wait() }()
			before, rounds := pauses(), 0
			for done := false; !done; rounds++ {
				runtime.GC()
				select {
				case err := <-ended:
					if done = true; err != nil || strings.Contains(out.String(), "errors") {
						t.Errorf("wrk: %v: %s", err, out.String())
					}
				case <-time.After(5 * time.Millisecond):
				}
			}
			n, atLeast, atMost := before.since()
			t.Logf("%d collections, %d stops, the longest of %v to %v\n%s", rounds, n, atLeast, atMost, out.String())
			if n == 0 {
				t.Error("nothing was measured")
			}
			if atLeast > 5*time.Millisecond && soakFor(t) > 0 {
				t.Errorf("the collector stopped the loops for %v or more", atLeast)
			}
		}, place127(), "-O", "engine "+engine, behind)
	})
}

// stops are counts of the times that the collector has stopped everybody, by length.
type stops metrics.Float64Histogram

func pauses() *stops {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return (*stops)(s[0].Value.Float64Histogram())
}

// since is how many stops there were since s was taken, and between what bounds the longest was.
func (s *stops) since() (n uint64, atLeast, atMost time.Duration) {
	now := pauses()
	for i, c := range now.Counts {
		if c > s.Counts[i] {
			n += c - s.Counts[i]
			atLeast = time.Duration(now.Buckets[i] * float64(time.Second))
			atMost = time.Duration(now.Buckets[i+1] * float64(time.Second))
		}
	}
	return n, atLeast, atMost
}
