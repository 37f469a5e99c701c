package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/proc"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/scenario"
)

// Options are what to measure and how.
type Options struct {
	Self      []string // command that starts a worker of the calling program
	Peers     []peer.Found
	Scenarios []scenario.Scenario
	Rounds    int           // that count, after one that does not
	Window    time.Duration // of counting, per round
	Warm      time.Duration // of load before it
	ProxyCPU  int           // negative: not pinned
	LoadCPU   int           // negative: not pinned
	FirstPort int           // proxies listen from here on; 0: anywhere
	Dir       string        // for configuration files
	Log       io.Writer     // progress
}

// Time limits of the harness, beyond which something hangs.
const (
	startLimit = 5 * time.Second  // until a proxy forwards
	probeLimit = time.Second      // for one request: that of UDP may be lost
	openLimit  = 60 * time.Second // until all connections are open; the client gives up earlier
	replyLimit = 10 * time.Second // for an answer of the client
	settle     = 300 * time.Millisecond
)

// Run measures. On an error, or the end of ctx, it returns what it has so far with the error.
func Run(ctx context.Context, o *Options) ([]report.Scenario, error) {
	r := &runner{Options: o, port: o.FirstPort}
	results := make([]report.Scenario, 0, len(o.Scenarios))
	for i := range o.Scenarios {
		result, err := r.scenario(ctx, &o.Scenarios[i])
		results = append(results, result)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

type runner struct {
	*Options
	port   int
	broken error // without which no peer can be measured any more
}

func (r *runner) scenario(ctx context.Context, s *scenario.Scenario) (report.Scenario, error) {
	if s.Link || s.Packets() {
		return r.packets(ctx, s)
	}
	result := report.Scenario{Name: s.Name, Title: s.Title, Columns: s.Columns}
	var peers []*peer.Found
	for i := range r.Peers {
		p := &r.Peers[i]
		// Without a proxy there is no memory to look at.
		if p.Missing != "" || p.Mode != "" || p.Name == peer.Direct && s.MemoryOnly() || s.Datagrams() && p.StreamsOnly || s.TLS() && p.PlainOnly {
			continue
		}
		peers = append(peers, p)
		result.Cells = append(result.Cells, report.Cell{Peer: p.Name})
	}
	backend, address, err := r.backend(ctx)
	if err != nil {
		return result, fmt.Errorf("backend: %w", err)
	}
	defer backend.stop()
	err = r.rounds(ctx, s, peers, &result, func(p *peer.Found) (report.Sample, error) {
		sample, err := r.cell(ctx, s, p, address)
		select {
		case <-backend.Done():
			r.broken = fmt.Errorf("backend: %w", backend.Err())
		default:
		}
		return sample, err
	})
	return result, err
}

// rounds measures the peers by turns, and adds the samples to result.
func (r *runner) rounds(ctx context.Context, s *scenario.Scenario, peers []*peer.Found, result *report.Scenario,
	measure func(*peer.Found) (report.Sample, error)) error {
	for round := range r.Rounds + 1 {
		fmt.Fprintf(r.Log, "%-12s round %d/%d:", s.Name, round, r.Rounds)
		for i, p := range peers {
			c := &result.Cells[i]
			if c.Error != "" && len(c.Samples) == 0 {
				continue // it failed in the warm-up and would again
			}
			fmt.Fprintf(r.Log, " %s", p.Name)
			sample, err := measure(p)
			if ctx.Err() != nil {
				fmt.Fprintln(r.Log, " interrupted")
				return context.Cause(ctx)
			}
			if err != nil {
				c.Error = err.Error()
				fmt.Fprintf(r.Log, " (FAILED: %v)", err)
				continue
			}
			sample.Round = round
			c.Samples = append(c.Samples, sample)
		}
		fmt.Fprintln(r.Log)
		if r.broken != nil {
			return r.broken
		}
	}
	return nil
}

// cell measures one peer for one round.
func (r *runner) cell(ctx context.Context, s *scenario.Scenario, p *peer.Found, backend netip.AddrPort) (report.Sample, error) {
	target := backend
	var proxy *proc.Process
	if p.Name != peer.Direct {
		var err error
		if proxy, target, err = r.proxy(ctx, s, p, backend); err != nil {
			return report.Sample{}, err
		}
		defer proxy.Stop()
	}
	m, err := r.newMeter(proxy)
	if err != nil {
		return report.Sample{}, err
	}
	return r.load(ctx, s, m, target, report.Sample{Conns: s.Conns(), Proxy: proxy != nil, Empty: m.usage.RSS})
}

// load lets a client make its requests to target, and completes the sample.
func (r *runner) load(ctx context.Context, s *scenario.Scenario, m *meter, target netip.AddrPort, sample report.Sample) (report.Sample, error) {
	spec := &load.Spec{Target: target, Groups: s.Groups, Measure: r.Window}
	c, err := r.client(ctx, spec)
	if err != nil {
		return sample, fmt.Errorf("client: %w", err)
	}
	defer c.stop()
	if err := c.expect(load.Ready, openLimit); err != nil {
		return sample, err
	}
	if s.MemoryOnly() {
		pause(ctx, settle)
		err := m.read()
		sample.RSS, sample.Busy, sample.System = m.usage.RSS, -1, -1
		return sample, err
	}
	pause(ctx, r.Warm)
	err = r.window(c, m, &sample)
	return sample, err
}

// window lets c count while m runs. c loads already.
func (r *runner) window(c *worker, m *meter, sample *report.Sample) error {
	// The client, which is awake, reacts at once; so nothing is missed at the start, and at the end the load is over
	// before the meter is read, however late this process wakes up.
	if err := m.read(); err != nil {
		return err
	}
	before := *m
	if err := c.start(); err != nil {
		return err
	}
	if err := c.expect(load.Stopped, r.Window+replyLimit); err != nil {
		return err
	}
	if err := m.read(); err != nil {
		return err
	}
	result, err := c.result()
	if err != nil {
		return err
	}
	sample.Window, sample.Groups = result.Elapsed, result.Groups
	sample.CPU, sample.RSS, sample.Busy, sample.System = m.usage.CPU-before.usage.CPU, m.usage.RSS, -1, -1
	if r.ProxyCPU >= 0 {
		sample.Busy = m.busy - before.busy
		sample.System = sample.Busy + m.load - before.load
	}
	return nil
}

// pause lets the load run; the end of ctx shows in whatever comes next.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// worker is the command line of a worker of ours on processor cpu.
func (r *runner) worker(cpu int, args ...string) []string {
	return r.on(cpu, append(r.Self[:len(r.Self):len(r.Self)], args...))
}

// on is the command line that runs argv on processor cpu.
func (r *runner) on(cpu int, argv []string) []string {
	return append(append(r.Self[:len(r.Self):len(r.Self)], "exec", strconv.Itoa(cpu)), argv...)
}

func (r *runner) proxy(ctx context.Context, s *scenario.Scenario, p *peer.Found, backend netip.AddrPort) (*proc.Process, netip.AddrPort, error) {
	files, err := proc.OpenFiles()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	conns := peer.MaxConns(files)
	if s.Conns() > conns {
		return nil, netip.AddrPort{}, fmt.Errorf("%d connections need more open files than the limit of %d", s.Conns(), files)
	}
	listen, err := r.listenAddress()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	dir, err := os.MkdirTemp(r.Dir, p.Name+"-")
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	cert, network := "", "tcp"
	switch {
	case s.Datagrams():
		network = "udp"
	case s.TLS():
		network = "tls"
		if cert, err = peer.WriteCert(dir, s.RSA); err != nil {
			return nil, netip.AddrPort{}, err
		}
	}
	argv, err := p.Command(&peer.Setup{
		Listen: listen, Backend: backend, Conns: conns, UDP: s.Datagrams(), Answers: s.Answers, Cert: cert, Dir: dir, Self: r.Self,
	})
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	proxy, _, err := proc.Start(ctx, r.on(r.ProxyCPU, argv), nil, false)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	if err := awaitProxy(ctx, proxy, network, listen); err != nil {
		proxy.Stop()
		return nil, netip.AddrPort{}, err
	}
	return proxy, listen, nil
}

// awaitProxy waits until requests come through.
func awaitProxy(ctx context.Context, proxy *proc.Process, network string, listen netip.AddrPort) error {
	limit := time.Now().Add(startLimit)
	for {
		err := load.Probe(ctx, network, listen, min(time.Until(limit), probeLimit))
		if err == nil {
			return nil
		}
		select {
		case <-proxy.Done():
			return proxy.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(limit) {
			return fmt.Errorf("forwards nothing after %v: %w", startLimit, err)
		}
	}
}

// listenAddress is where the next proxy listens. Ports are never used twice in a lab, as the last user's connections
// may still be in TIME-WAIT.
func (r *runner) listenAddress() (netip.AddrPort, error) {
	if r.port > 0 {
		r.port++
		return netip.AddrPortFrom(loopback, uint16(r.port-1)), nil
	}
	ln, err := net.Listen("tcp4", netip.AddrPortFrom(loopback, 0).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// meter reads the costs of a proxy, or of none.
type meter struct {
	pids       []int
	pinned     bool
	cpus       [2]int // of the proxy and of the load
	usage      proc.Usage
	busy, load time.Duration // of each of cpus
}

func (r *runner) newMeter(proxy *proc.Process) (*meter, error) {
	m := &meter{pinned: r.ProxyCPU >= 0, cpus: [2]int{r.ProxyCPU, r.LoadCPU}}
	if proxy != nil {
		var err error
		if m.pids, err = proc.Tree(proxy.PID()); err != nil {
			return nil, err
		}
	}
	return m, m.read()
}

func (m *meter) read() error {
	var errs [3]error
	if m.pinned {
		m.busy, errs[0] = proc.Busy(m.cpus[0])
		m.load, errs[1] = proc.Busy(m.cpus[1])
	}
	if len(m.pids) > 0 {
		m.usage, errs[2] = proc.Measure(m.pids)
	}
	return errors.Join(errs[:]...)
}
