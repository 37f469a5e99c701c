package report

import (
	"math"
	"slices"

	"github.com/penlb/pen/bench/load"
)

// Summary is the median of some rounds and the range of all of them.
type Summary struct {
	Median, Min, Max float64
	Rounds           int
}

// summarize returns the Summary of values; without values it has no rounds.
func summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Summary{Median: median, Min: v[0], Max: v[len(v)-1], Rounds: len(v)}
}

// Spread is the distance between the best and the worst round.
func (s Summary) Spread() float64 { return s.Max - s.Min }

// smallest is the relative difference below which even quiet runs on a shared host do not repeat.
const smallest = 0.05

// Tie reports whether two summaries differ by less than the rounds of either do, or by less than 5 %.
func Tie(a, b Summary) bool {
	difference := math.Abs(a.Median - b.Median)
	return difference < max(a.Spread(), b.Spread()) || difference < smallest*max(math.Abs(a.Median), math.Abs(b.Median))
}

// Summary returns the metric of a key over the rounds that count.
func (c *Cell) Summary(key string) Summary {
	m, ok := metric(key)
	if !ok {
		return Summary{}
	}
	var values []float64
	for i := range c.Samples {
		if s := &c.Samples[i]; s.Round > 0 {
			if v, ok := m.Value(s); ok {
				values = append(values, v)
			}
		}
	}
	return summarize(values)
}

// failures counts the failed connections of the rounds that count.
func (c *Cell) failures() uint64 {
	sum := uint64(0)
	for i := range c.Samples {
		if c.Samples[i].Round == 0 {
			continue
		}
		for j := range c.Samples[i].Groups {
			if g := &c.Samples[i].Groups[j]; g.Kind != load.Packets && g.Kind != load.Flood { // there the loss is what is measured
				sum += g.Errors
			}
		}
	}
	return sum
}
