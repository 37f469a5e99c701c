package load

import (
	"testing"
	"time"
)

// Requests that were due and never answered must show in the tail, or a stalled proxy looks fast.
func TestCensoredRequestsCount(t *testing.T) {
	t.Parallel()
	g := newGroup(&Group{Name: "rr", Kind: Ping, Conns: 1, Request: 64, Reply: 64, Rate: 1000})
	for range 90 {
		g.record(time.Millisecond)
		g.done++
	}
	now := 10 * time.Second
	for range 10 {
		g.censor(now, now-2*time.Second)
	}
	g.censor(now, now+time.Second) // not yet due
	r := g.result()
	if r.Late != 10 {
		t.Errorf("%d late requests, want 10", r.Late)
	}
	if r.P50 > 2*time.Millisecond || r.P99 < 1900*time.Millisecond {
		t.Errorf("p50 %v, p99 %v; want about 1ms and 2s", r.P50, r.P99)
	}
	g.reset()
	if r := g.result(); r.Late != 0 || r.Done != 0 || r.Max != 0 {
		t.Errorf("after reset: %+v", r)
	}
}

// What lies outside of the histogram is counted at its ends, not dropped.
func TestRecordOutsideOfTheBounds(t *testing.T) {
	t.Parallel()
	g := newGroup(&Group{Kind: Ping, Conns: 1, Request: 64, Reply: 64})
	g.record(0)
	g.record(time.Hour)
	if n := g.latency.TotalCount(); n != 2 {
		t.Errorf("%d latencies recorded, want 2", n)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	g := newGroup(&Group{Kind: Ping, Conns: 1, Request: 64, Reply: 64})
	if n := testing.AllocsPerRun(1000, func() { g.record(123456) }); n != 0 {
		t.Errorf("%v allocations per latency", n)
	}
}
