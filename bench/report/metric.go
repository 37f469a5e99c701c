package report

import (
	"time"

	"github.com/penlb/pen/bench/load"
)

// The keys of the metrics, as they stand in files.
const (
	CPUPerOp       = "cpu/op"
	CPUPerGB       = "cpu/gb"
	CPULoad        = "cpu"
	BusyPerOp      = "busy/op"
	BusyPerGB      = "busy/gb"
	BusyLoad       = "busy"
	SystemPerOp    = "system/op"
	SystemPerGB    = "system/gb"
	OpsPerSecond   = "op/s"
	BytesPerSecond = "mb/s"
	P50            = "p50"
	P99            = "p99"
	P999           = "p999"
	Late           = "late"
	Lost           = "lost"
	CPUPerPacket   = "cpu/packet"
	PacketsPerSec  = "packet/s"
	PacketsLost    = "lost/packet"
	RSS            = "rss"
	RSSPerConn     = "rss/conn"
)

// Metric is a figure made of a sample.
type Metric struct {
	Key, Title, Unit string
	// Value is the figure; false where the sample has none, such as the CPU of no proxy.
	Value func(*Sample) (float64, bool)
}

// Name is title and unit.
func (m *Metric) Name() string { return m.Title + " [" + m.Unit + "]" }

// Metrics returns all metrics.
func Metrics() []Metric {
	return []Metric{
		{CPUPerOp, "proxy CPU per request", "µs", ratio(cpu, requests, 1e6)},
		{CPUPerGB, "proxy CPU per GB", "s", ratio(cpu, payload, 1e9)},
		{CPULoad, "proxy CPU", "%", ratio(cpu, seconds, 100)},
		{BusyPerOp, "busy CPU per request", "µs", ratio(busy, requests, 1e6)},
		{BusyPerGB, "busy CPU per GB", "s", ratio(busy, payload, 1e9)},
		{BusyLoad, "busy CPU", "%", ratio(busy, seconds, 100)},
		{SystemPerOp, "busy CPU of all per request", "µs", ratio(system, requests, 1e6)},
		{SystemPerGB, "busy CPU of all per GB", "s", ratio(system, payload, 1e9)},
		{OpsPerSecond, "requests", "1/s", ratio(requests, seconds, 1)},
		{BytesPerSecond, "payload", "MB/s", ratio(payload, seconds, 1e-6)},
		{P50, "p50", "µs", latency(func(g *load.GroupResult) time.Duration { return g.P50 })},
		{P99, "p99", "µs", latency(func(g *load.GroupResult) time.Duration { return g.P99 })},
		{P999, "p999", "µs", latency(func(g *load.GroupResult) time.Duration { return g.P999 })},
		{Late, "unanswered at the end", "requests", late},
		{Lost, "requests without an answer", "%", ratio(failures, attempts, 100)},
		{CPUPerPacket, "proxy CPU per packet", "µs", ratio(cpu, requests, 1e6)},
		{PacketsPerSec, "packets that arrived", "1/s", ratio(requests, seconds, 1)},
		{PacketsLost, "packets lost", "%", ratio(failures, attempts, 100)},
		{RSS, "resident memory", "MB", func(s *Sample) (float64, bool) { return float64(s.RSS) / 1e6, s.Proxy }},
		{RSSPerConn, "resident memory per connection", "KiB", rssPerConn},
	}
}

// metric returns the metric of a key.
func metric(key string) (Metric, bool) {
	for _, m := range Metrics() {
		if m.Key == key {
			return m, true
		}
	}
	return Metric{}, false
}

type figure func(*Sample) (float64, bool)

func ratio(a, b figure, scale float64) figure {
	return func(s *Sample) (float64, bool) {
		x, ok1 := a(s)
		y, ok2 := b(s)
		if !ok1 || !ok2 || y == 0 {
			return 0, false
		}
		return x / y * scale, true
	}
}

func cpu(s *Sample) (float64, bool)     { return s.CPU.Seconds(), s.Proxy }
func busy(s *Sample) (float64, bool)    { return s.Busy.Seconds(), s.Busy >= 0 }
func system(s *Sample) (float64, bool)  { return s.System.Seconds(), s.System >= 0 }
func seconds(s *Sample) (float64, bool) { return s.Window.Seconds(), s.Window > 0 }

// requests counts the answers of all groups.
func requests(s *Sample) (float64, bool) {
	sum := uint64(0)
	for i := range s.Groups {
		sum += s.Groups[i].Done
	}
	return float64(sum), true
}

// payload counts the bytes of the groups that are endless.
func payload(s *Sample) (float64, bool) {
	sum := uint64(0)
	for i := range s.Groups {
		if k := s.Groups[i].Kind; k == load.Down || k == load.Up || k == load.Flood {
			sum += s.Groups[i].Bytes
		}
	}
	return float64(sum), true
}

// latency picks a quantile of the first group that makes requests.
func latency(of func(*load.GroupResult) time.Duration) figure {
	return func(s *Sample) (float64, bool) {
		for i := range s.Groups {
			if g := &s.Groups[i]; g.Done+g.Late > 0 {
				return float64(of(g)) / float64(time.Microsecond), true
			}
		}
		return 0, false
	}
}

// failures counts connections that failed, and datagrams without an answer.
func failures(s *Sample) (float64, bool) {
	sum := uint64(0)
	for i := range s.Groups {
		sum += s.Groups[i].Errors
	}
	return float64(sum), true
}

func attempts(s *Sample) (float64, bool) {
	done, _ := requests(s)
	failed, _ := failures(s)
	return done + failed, true
}

func late(s *Sample) (float64, bool) {
	sum := uint64(0)
	for i := range s.Groups {
		sum += s.Groups[i].Late
	}
	return float64(sum), true
}

func rssPerConn(s *Sample) (float64, bool) {
	if !s.Proxy || s.Conns == 0 {
		return 0, false
	}
	return (float64(s.RSS) - float64(s.Empty)) / float64(s.Conns) / 1024, true
}
