package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of the latency histograms in nanoseconds, with three significant digits.
const (
	histogramLowest  = int64(time.Microsecond)
	histogramHighest = int64(time.Minute)
	histogramDigits  = 3
)

// group is the state of a Group.
type group struct {
	*Group
	first    []byte   // what each connection sends first, and Ping and Short always
	free     []int32  // open loop: connections of Ping without a request; for Short and AskOnce: slots, all of them -1
	schedule schedule // of an open loop
	latency  *hdrhistogram.Histogram
	unopened int
	inFlight int // of the unopened ones

	// reset at the start of the window
	done, bytes, errors, late uint64
	sent, counted             uint64 // of Flood: datagrams since, and those that the backend had counted then
}

func newGroup(spec *Group) *group {
	g := &group{
		Group:   spec,
		first:   spec.request(),
		free:    make([]int32, 0, spec.Conns),
		latency: hdrhistogram.New(histogramLowest, histogramHighest, histogramDigits),
	}
	if !g.short() {
		g.unopened = spec.Conns
	}
	return g
}

// asks reports whether the connections of g make requests, so that they are due, late and free.
func (g *group) asks() bool {
	return g.Kind == Ping || g.Kind == Short || g.Kind == Ask || g.Kind == AskOnce
}

// short reports whether each request of g has a connection of its own.
func (g *group) short() bool { return g.Kind == Short || g.Kind == AskOnce }

func (g *group) reset() {
	g.latency.Reset()
	g.done, g.bytes, g.errors, g.late, g.sent = 0, 0, 0, 0, 0
}

func (g *group) record(d time.Duration) {
	// The histogram refuses what lies outside of its bounds; both ends stand for "so short" and "so long".
	_ = g.latency.RecordValue(min(max(int64(d), histogramLowest), histogramHighest))
}

// censor records a request that was due but has no answer, with the time it has waited so far.
func (g *group) censor(now, due time.Duration) {
	if due >= now {
		return
	}
	g.late++
	g.record(now - due)
}

func (g *group) result() GroupResult {
	r := GroupResult{Name: g.Name, Kind: g.Kind, Done: g.done, Bytes: g.bytes, Errors: g.errors, Late: g.late}
	if g.latency.TotalCount() > 0 {
		r.P50 = time.Duration(g.latency.ValueAtQuantile(50))
		r.P99 = time.Duration(g.latency.ValueAtQuantile(99))
		r.P999 = time.Duration(g.latency.ValueAtQuantile(99.9))
		r.Max = time.Duration(g.latency.Max())
	}
	return r
}
