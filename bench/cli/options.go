package cli

import (
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/scenario"
)

// preset is a set of answers to how much to measure.
type preset struct {
	scenarios, peers string
	rounds           int
	seconds          float64
}

// presets returns quick, which answers "is it still fast" in less than 20 seconds, and full, which makes the published
// figures.
func presets() map[string]preset {
	return map[string]preset{
		"quick": {scenarios: "rr64-c50", peers: "direct,pen-uring,pen-epoll,pen-classic,haproxy,nginx", rounds: 3, seconds: 0.4},
		"full":  {scenarios: "*", peers: "*", rounds: 5, seconds: 1},
	}
}

// warm is how long load runs before it counts.
const warm = 150 * time.Millisecond

// options are what the flags say.
type options struct {
	preset    string
	scenarios []scenario.Scenario
	peers     []peer.Found
	rounds    int
	window    time.Duration
	out       string
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("preset", "quick", "quick or full: what the other flags start from")
	scenarios := flags.String("scenario", "", "comma-separated `patterns` of scenarios (bench list)")
	peers := flags.String("peers", "", "comma-separated `patterns` of peers (bench list)")
	rounds := flags.Int("rounds", 0, "`rounds` that count, after one that warms up")
	seconds := flags.Float64("seconds", 0, "`length` of a round")
	pen := flags.String("pen", "", "`program` to measure as ours (default bin/pen)")
	out := flags.String("out", "bin/bench", "`directory` for figures, tables and plots; published ones are in bench/results")
	if err := flags.Parse(args); err != nil {
		return nil, parseError(err)
	}
	if flags.NArg() > 0 {
		return nil, usageError(fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	}
	p, ok := presets()[*name]
	if !ok {
		return nil, usageError(fmt.Sprintf("unknown preset %q: there is quick and full", *name))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if given["scenario"] {
		p.scenarios = *scenarios
	}
	if given["peers"] {
		p.peers = *peers
	}
	if given["rounds"] {
		p.rounds = *rounds
	}
	if given["seconds"] {
		p.seconds = *seconds
	}
	if p.rounds < 1 || p.seconds <= 0 || p.seconds > 3600 {
		return nil, usageError("want at least one round, of more than 0 and at most 3600 seconds")
	}
	o := &options{preset: *name, rounds: p.rounds, window: time.Duration(p.seconds * float64(time.Second)), out: *out}
	var err error
	if o.scenarios, err = scenario.Select(p.scenarios); err != nil {
		return nil, usageError(err.Error())
	}
	if o.peers, err = selectPeers(p.peers, *pen); err != nil {
		return nil, usageError(err.Error())
	}
	return o, nil
}

func selectPeers(patterns, pen string) ([]peer.Found, error) {
	all := peer.All()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	wanted, err := scenario.Match(patterns, names)
	if err != nil {
		return nil, fmt.Errorf("peer %w", err)
	}
	var found []peer.Found
	for i := range all {
		if wanted[i] {
			found = append(found, all[i].Find(pen))
		}
	}
	return found, nil
}
