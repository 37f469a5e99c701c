// Package report keeps the outcome of a benchmark, and makes figures, tables and plots of it.
//
// It keeps every sample of every round, so that a table can be made again from the file, and better ones later.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/penlb/pen/bench/load"
)

// Report is one run of the benchmark.
type Report struct {
	Created   time.Time
	Machine   Machine
	Method    Method
	Peers     []Peer
	Scenarios []Scenario
}

// Method is how the figures were taken.
type Method struct {
	Preset     string
	Rounds     int // that count; one more before them only warms up
	Window     time.Duration
	Lab        bool // in a network namespace of its own
	Congestion string
	ProxyCPU   int // processor of the proxy; negative: not pinned
	LoadCPU    int // processor of client and backend
}

// Peer is a compared program as it was found.
type Peer struct {
	Name, Title string
	Ours        bool
	Path        string `json:",omitempty"`
	Version     string `json:",omitempty"`
	Missing     string `json:",omitempty"` // why it did not take part
}

// Scenario holds the cells of one scenario, in the order of the peers.
type Scenario struct {
	Name, Title string
	Columns     []string // keys of Metrics
	Cells       []Cell
}

// Cell is one peer in one scenario.
type Cell struct {
	Peer    string
	Samples []Sample
	Error   string `json:",omitempty"` // why a round failed; the samples of other rounds stay
}

// Sample is one round of a cell.
type Sample struct {
	Round  int           // from 1; 0 is the warm-up, which is kept but never counted
	Window time.Duration // length of the counted window; 0 where only memory is measured
	Conns  int           // open connections, or for short ones: at a time
	Proxy  bool          // there was a proxy, so CPU and RSS mean something
	CPU    time.Duration // processor time of the proxy
	Busy   time.Duration // busy time of the proxy's processor, in steps of 10 ms; negative: unknown
	System time.Duration // busy time of that and the client's together; negative: unknown
	Empty  uint64        // resident bytes of the proxy before the first connection
	RSS    uint64        // and at the end
	Groups []load.GroupResult
}

// Read reads the file that Write wrote.
func Read(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(r.Scenarios) == 0 {
		return nil, fmt.Errorf("%s: %w", file, errors.New("no scenarios"))
	}
	return r, nil
}

// Write writes r as JSON.
func (r *Report) Write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// peer returns the peer of a name; an unknown one is its own title.
func (r *Report) peer(name string) Peer {
	for _, p := range r.Peers {
		if p.Name == name {
			return p
		}
	}
	return Peer{Name: name, Title: name}
}
