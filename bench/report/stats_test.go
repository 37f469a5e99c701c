package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/bench/load"
)

func TestSummarize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []float64
		want Summary
	}{
		{"nothing", nil, Summary{}},
		{"one", []float64{3}, Summary{3, 3, 3, 1}},
		{"odd", []float64{9, 1, 5}, Summary{5, 1, 9, 3}},
		{"even", []float64{4, 1, 100, 2}, Summary{3, 1, 100, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summarize(tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTie(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a, b Summary
		want bool
	}{
		{"the same", Summary{10, 10, 10, 1}, Summary{10, 10, 10, 1}, true},
		{"below 5 percent", Summary{10, 10, 10, 1}, Summary{10.4, 10.4, 10.4, 1}, true},
		{"clear", Summary{10, 9.9, 10.1, 5}, Summary{11, 10.9, 11.1, 5}, false},
		{"within the spread of one", Summary{10, 9.9, 10.1, 5}, Summary{11, 10, 12, 5}, true},
		{"zero and zero", Summary{0, 0, 0, 3}, Summary{0, 0, 0, 3}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Tie(tt.a, tt.b); got != tt.want {
				t.Errorf("tie: %v", got)
			}
			if Tie(tt.a, tt.b) != Tie(tt.b, tt.a) {
				t.Error("depends on the order")
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := Sample{
		Round: 1, Window: 2 * time.Second, Conns: 100, Proxy: true,
		CPU: time.Second, Busy: 1500 * time.Millisecond, System: 3 * time.Second, Empty: 1 << 20, RSS: 3 << 20,
		Groups: []load.GroupResult{
			{Name: "slow", Kind: load.Down, Bytes: 4e9},
			{
				Name: "rr", Kind: load.Ping, Done: 100_000, Bytes: 6_400_000, Late: 7,
				P50: 500 * time.Microsecond, P99: time.Millisecond, P999: 10 * time.Millisecond,
			},
		},
	}
	want := map[string]float64{
		CPUPerOp: 10, CPUPerGB: 0.25, CPULoad: 50, BusyPerOp: 15, BusyPerGB: 0.375, BusyLoad: 75, SystemPerOp: 30, SystemPerGB: 0.75,
		OpsPerSecond: 50_000, BytesPerSecond: 2000, P50: 500, P99: 1000, P999: 10_000, Late: 7,
		RSS: 3.145728, RSSPerConn: 20.48, CPUPerPacket: 10, PacketsPerSec: 50_000,
	}
	for _, m := range Metrics() {
		got, ok := m.Value(&s)
		if !ok || !near(got, want[m.Key]) {
			t.Errorf("%s: %v, %v; want %v", m.Key, got, ok, want[m.Key])
		}
	}
	// Without a proxy, without work and without a window there is nothing to divide.
	direct := Sample{Round: 1, Busy: -1, System: -1}
	for _, m := range Metrics() {
		if got, ok := m.Value(&direct); ok && got != 0 {
			t.Errorf("%s of nothing: %v", m.Key, got)
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-9*(1+b) && b-a < 1e-9*(1+b) }

func TestWarmUpNeverCounts(t *testing.T) {
	t.Parallel()
	sample := func(round int, done, errors uint64) Sample {
		return Sample{Round: round, Window: time.Second, Groups: []load.GroupResult{{Kind: load.Ping, Done: done, Errors: errors}}}
	}
	c := Cell{Samples: []Sample{sample(0, 1, 50), sample(1, 100, 1), sample(2, 300, 2), sample(3, 200, 0)}}
	if diff := cmp.Diff(Summary{200, 100, 300, 3}, c.Summary(OpsPerSecond)); diff != "" {
		t.Error(diff)
	}
	if n := c.failures(); n != 3 {
		t.Errorf("%d failures, want 3", n)
	}
}
