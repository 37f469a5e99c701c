// Package scenario is the list of what is measured: which traffic, and which figures matter for it.
package scenario

import (
	"fmt"
	"path"
	"strings"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/report"
)

// Scenario is one kind of traffic.
type Scenario struct {
	Name    string
	Title   string
	Groups  []load.Group
	Columns []string // keys of report.Metrics; the first is the one that counts, the second gets ratios too
	// Answers is how many datagrams a proxy of UDP may expect for each request, after which it can forget the client; 0:
	// it does not know.
	Answers int
	// RSA gives the proxy a certificate with an RSA key; else it is an ECDSA key. For TLS.
	RSA bool
	// Link marks connections that go over a switch of Ethernet to servers with direct server return, as frames do.
	Link bool
	// Overload is the name of the peer that sets the rate of frames: the lowest at which it loses more than
	// load.OverloadLoss of them, while another program wants its processor too. Empty: the groups tell.
	Overload string
}

// Conns is how many connections are open at a time.
func (s *Scenario) Conns() int {
	sum := 0
	for i := range s.Groups {
		sum += s.Groups[i].Conns
	}
	return sum
}

// MemoryOnly reports whether the scenario measures memory, and so needs no window of time.
func (s *Scenario) MemoryOnly() bool {
	for i := range s.Groups {
		if s.Groups[i].Kind != load.Idle {
			return false
		}
	}
	return true
}

// Datagrams reports whether the scenario is one of UDP.
func (s *Scenario) Datagrams() bool {
	for i := range s.Groups {
		switch s.Groups[i].Kind {
		case load.Ask, load.AskOnce, load.Flood:
			return true
		}
	}
	return false
}

// Packets reports whether the scenario is one of frames that are forwarded, and not of connections.
func (s *Scenario) Packets() bool { return s.Groups[0].Kind == load.Packets }

var (
	pingColumns  = []string{report.CPUPerOp, report.P99, report.OpsPerSecond, report.P50, report.P999, report.BusyPerOp}
	openColumns  = []string{report.CPUPerOp, report.P99, report.P50, report.P999, report.Late, report.OpsPerSecond}
	bulkColumns  = []string{report.CPUPerGB, report.BusyPerGB, report.BytesPerSecond}
	mixedColumns = []string{report.CPULoad, report.P99, report.BusyLoad, report.P50, report.P999, report.OpsPerSecond, report.BytesPerSecond}
	slowColumns  = []string{report.CPUPerOp, report.P99, report.OpsPerSecond, report.P50, report.P999, report.BytesPerSecond, report.RSS}
	askColumns   = []string{report.CPUPerOp, report.P99, report.Lost, report.OpsPerSecond, report.P50, report.BusyPerOp}
	floodColumns = []string{report.CPUPerPacket, report.PacketsPerSec, report.PacketsLost, report.BytesPerSecond, report.BusyPerOp}
	idleColumns  = []string{report.RSSPerConn, report.RSS}
)

// All returns every scenario, in the order in which they run.
func All() []Scenario {
	const kb, mb = 1000, 1000 * 1000
	list := []Scenario{
		ping("rr64-c1", "64 B request and reply, 1 connection", 1, 64),
		ping("rr64-c50", "64 B request and reply, 50 connections", 50, 64),
		ping("rr64-c500", "64 B request and reply, 500 connections", 500, 64),
		ping("rr64-c5000", "64 B request and reply, 5,000 connections", 5000, 64),
		ping("rr1k-c50", "1 KiB replies, 50 connections", 50, 1<<10),
		ping("rr16k-c50", "16 KiB replies, 50 connections", 50, 16<<10),
		{
			Name: "open64-c50", Title: "64 B request and reply at a fixed 30,000/s (open loop), 50 connections", Columns: openColumns,
			Groups: []load.Group{{Name: "rr", Kind: load.Ping, Conns: 50, Request: 64, Reply: 64, Rate: 30_000}},
		},
	}
	for _, kind := range []load.Kind{load.Down, load.Up} {
		for _, n := range []int{1, 8, 64} {
			list = append(list, bulk(kind, n))
		}
	}
	list = append(list,
		Scenario{
			Name: "short", Title: "connect, one 64 B request, close; 20 in parallel", Columns: pingColumns,
			Groups: []load.Group{{Name: "short", Kind: load.Short, Conns: 20, Request: 64, Reply: 64}},
		},
		Scenario{
			Name:    "mixed",
			Title:   "fixed load: 10,000 requests/s (1 KiB replies, 100 connections), 1,000 short connections/s, 4 downloads of 50 MB/s",
			Columns: mixedColumns,
			Groups: []load.Group{
				{Name: "rr", Kind: load.Ping, Conns: 100, Request: 64, Reply: 1 << 10, Rate: 10_000},
				{Name: "short", Kind: load.Short, Conns: 100, Request: 64, Reply: 64, Rate: 1_000},
				{Name: "download", Kind: load.Down, Conns: 4, Rate: 50 * mb},
			},
		},
		Scenario{
			Name: "idle", Title: "memory of 9,000 idle connections that made one request each", Columns: idleColumns,
			Groups: []load.Group{{Name: "idle", Kind: load.Idle, Conns: 9000, Request: 64, Reply: 64}},
		},
		Scenario{
			Name: "udp", Title: "64 B datagrams, each with an answer, 1,000 clients", Columns: askColumns,
			Groups: []load.Group{{Name: "ask", Kind: load.Ask, Conns: 1000, Request: 64, Reply: 64}},
		},
		Scenario{
			Name: "udp-hot", Title: "64 B datagrams, each with an answer, 1 client with 64 under way", Columns: askColumns,
			Groups: []load.Group{{Name: "ask", Kind: load.Ask, Conns: 1, Depth: 64, Request: 64, Reply: 64}},
		},
		Scenario{
			Name: "udp-setup", Title: "64 B datagrams, each from a new port and with one answer, 50 in parallel", Columns: askColumns, Answers: 1,
			Groups: []load.Group{{Name: "ask", Kind: load.AskOnce, Conns: 50, Request: 64, Reply: 64}},
		},
		flood("udp-bulk", "1400 B datagrams one way, sent one by one", 1),
		flood("udp-bulk-gso", "1400 B datagrams one way, sent in trains of 44", 44),
		Scenario{
			Name: "slow", Title: "64 B request and reply, 50 connections, beside 50 slow readers of 100 kB/s", Columns: slowColumns,
			Groups: []load.Group{
				{Name: "rr", Kind: load.Ping, Conns: 50, Request: 64, Reply: 64},
				{Name: "slow", Kind: load.Down, Conns: 50, Rate: 100 * kb},
			},
		},
	)
	return append(append(list, direct()...), encrypted()...)
}

func ping(name, title string, conns, reply int) Scenario {
	return Scenario{
		Name: name, Title: title, Columns: pingColumns,
		Groups: []load.Group{{Name: "rr", Kind: load.Ping, Conns: conns, Request: 64, Reply: reply}},
	}
}

// flood is more datagrams than anybody can forward.
func flood(name, title string, train int) Scenario {
	return Scenario{
		Name: name, Title: title, Columns: floodColumns,
		Groups: []load.Group{{Name: "flood", Kind: load.Flood, Conns: 1, Train: train, Request: 1400}},
	}
}

func bulk(kind load.Kind, streams int) Scenario {
	title := "download"
	if kind == load.Up {
		title = "upload"
	}
	if streams > 1 {
		title += "s"
	}
	return Scenario{
		Name: fmt.Sprintf("%s-s%d", kind, streams), Title: fmt.Sprintf("%d bulk %s, 256 KiB writes", streams, title), Columns: bulkColumns,
		Groups: []load.Group{{Name: string(kind), Kind: kind, Conns: streams}},
	}
}

// Select returns the scenarios that any of the comma-separated patterns matches (path.Match), in the order of All. A
// pattern that matches nothing is an error.
func Select(patterns string) ([]Scenario, error) {
	all := All()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	wanted, err := Match(patterns, names)
	if err != nil {
		return nil, fmt.Errorf("scenario %w", err)
	}
	var list []Scenario
	for i := range all {
		if wanted[i] {
			list = append(list, all[i])
		}
	}
	return list, nil
}

// Match tells which of the names any of the comma-separated patterns matches.
func Match(patterns string, names []string) ([]bool, error) {
	wanted := make([]bool, len(names))
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern = strings.TrimSpace(pattern)
		hit := false
		for i, name := range names {
			ok, err := path.Match(pattern, name)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", pattern, err)
			}
			hit = hit || ok
			wanted[i] = wanted[i] || ok
		}
		if !hit {
			return nil, fmt.Errorf("%q: there is only %s", pattern, strings.Join(names, " "))
		}
	}
	return wanted, nil
}
