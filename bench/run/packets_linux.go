package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/proc"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/scenario"
)

// searchLimit is how long it may take to find the rate at which somebody is overloaded.
const searchLimit = 30 * time.Second

// searchFrom is where it begins, in frames per second.
const searchFrom = 50_000

// packets measures a scenario of direct server return: of frames, or of connections over a link.
func (r *runner) packets(ctx context.Context, s *scenario.Scenario) (report.Scenario, error) {
	result := report.Scenario{Name: s.Name, Title: s.Title, Columns: s.Columns}
	var peers []*peer.Found
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Missing == "" && p.ForwardsPackets() {
			peers = append(peers, p)
			result.Cells = append(result.Cells, report.Cell{Peer: p.Name})
		}
	}
	l, err := newLink(ctx, s.Link)
	if err != nil {
		return result, err
	}
	defer l.close()
	cell := r.packetCell
	if s.Link {
		argv := enter(l.server, r.worker(r.LoadCPU, "backend", packetVIP.String())...)
		backend, _, err := r.startBackend(ctx, argv)
		if err != nil {
			return result, fmt.Errorf("backend: %w", err)
		}
		defer backend.stop()
		cell = r.linkCell
	}
	if s.Overload != "" {
		rival, _, err := proc.Start(ctx, r.worker(r.ProxyCPU, "spin", "stdin"), nil, true)
		if err != nil {
			return result, err
		}
		defer rival.Stop()
		if s, err = r.overloaded(ctx, l, s); err != nil {
			return result, err
		}
		result.Title = s.Title
	}
	err = r.rounds(ctx, s, peers, &result, func(p *peer.Found) (report.Sample, error) { return cell(ctx, l, s, p) })
	return result, err
}

// overloaded is s at the rate at which its peer is overloaded. If the client is at its end before, there is no rate.
func (r *runner) overloaded(ctx context.Context, l *link, s *scenario.Scenario) (*scenario.Scenario, error) {
	i := slices.IndexFunc(r.Peers, func(p peer.Found) bool { return p.Name == s.Overload && p.Missing == "" })
	if i < 0 {
		return nil, fmt.Errorf("%s: the rate is that of %s, which is not there", s.Name, s.Overload)
	}
	p := &r.Peers[i]
	at := *s
	at.Groups = slices.Clone(s.Groups)
	at.Groups[0].Rate = searchFrom
	f, err := r.forwarder(ctx, l, &at, p)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	c, err := r.sendFrames(ctx, &at, f, true)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if err := c.start(); err != nil {
		return nil, err
	}
	if err := c.expect(load.Stopped, searchLimit); err != nil {
		return nil, err
	}
	result, err := c.result()
	if err != nil {
		return nil, err
	}
	at.Groups[0].Rate = result.Rate
	if result.Rate > 0 {
		at.Title += fmt.Sprintf(", %.0f/s: the rate at which %s loses more than %.0f %%", result.Rate, p.Title, 100*load.OverloadLoss)
	} else {
		at.Title += fmt.Sprintf(" without end: there is no rate at which %s loses more than %.0f %%", p.Title, 100*load.OverloadLoss)
	}
	fmt.Fprintf(r.Log, "%-12s %s\n", s.Name, at.Title)
	return &at, nil
}

// forwarder is a peer at work on a link.
type forwarder struct {
	next    string        // Ethernet address that frames go to first
	proxy   *proc.Process // nil: no process
	program *program      // nil: no program of ours
}

func (r *runner) forwarder(ctx context.Context, l *link, s *scenario.Scenario, p *peer.Found) (f *forwarder, err error) {
	f = &forwarder{next: lbMAC}
	switch p.Name {
	case peer.Direct:
		f.next = serverMAC
	case peer.Redirect:
		f.program, err = l.attach(l.lb, lbLink, redirect)
	default:
		argv := p.PacketCommand(&peer.Packets{Interface: lbLink, VIP: packetVIP, Servers: packetServers,
			UDP: !s.Link && !s.Groups[0].Segments})
		f.proxy, _, err = proc.Start(ctx, r.on(r.ProxyCPU, enter(l.lb, argv...)), nil, false)
	}
	return f, err
}

func (f *forwarder) stop() {
	if f.proxy != nil {
		f.proxy.Stop()
	}
	if f.program != nil {
		_ = f.program.close() // it goes with its interface at the latest
	}
}

// sendFrames starts a client that sends frames, and waits until they arrive.
func (r *runner) sendFrames(ctx context.Context, s *scenario.Scenario, f *forwarder, overload bool) (*worker, error) {
	spec := &load.PacketSpec{Spec: load.Spec{Target: packetVIP, Groups: s.Groups, Measure: r.Window}, Out: clientLink,
		Next: f.next, In: serverSwitch, From: packetClients, Overload: overload}
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	c, err := r.startWorker(ctx, "packets", string(b))
	if err != nil {
		return nil, err
	}
	if err = c.expect(load.Ready, openLimit); err == nil {
		// pen asks for its servers each second, and forwards nothing before they have answered.
		err = awaitArrival(ctx, c, f.proxy)
	}
	if err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// packetCell measures one peer for one round of frames.
func (r *runner) packetCell(ctx context.Context, l *link, s *scenario.Scenario, p *peer.Found) (report.Sample, error) {
	f, err := r.forwarder(ctx, l, s, p)
	if err != nil {
		return report.Sample{}, err
	}
	defer f.stop()
	c, err := r.sendFrames(ctx, s, f, false)
	if err != nil {
		return report.Sample{}, err
	}
	defer c.stop()
	m, err := r.newMeter(f.proxy)
	if err != nil {
		return report.Sample{}, err
	}
	sample := report.Sample{Conns: s.Conns(), Proxy: f.proxy != nil, Empty: m.usage.RSS}
	err = r.window(c, m, &sample)
	return sample, err
}

// linkCell measures one peer for one round of connections.
func (r *runner) linkCell(ctx context.Context, l *link, s *scenario.Scenario, p *peer.Found) (report.Sample, error) {
	f, err := r.forwarder(ctx, l, s, p)
	if err != nil {
		return report.Sample{}, err
	}
	defer f.stop()
	// Whoever forwards has the virtual address; it need not be asked for.
	if err := ip(ctx, nil, fmt.Sprintf("neigh replace %v lladdr %s dev %s nud permanent", packetVIP.Addr(), f.next, clientLink)); err != nil {
		return report.Sample{}, err
	}
	if f.proxy == nil {
		err = load.Probe(ctx, "tcp", packetVIP, startLimit)
	} else {
		err = awaitProxy(ctx, f.proxy, "tcp", packetVIP)
	}
	if err != nil {
		return report.Sample{}, err
	}
	m, err := r.newMeter(f.proxy)
	if err != nil {
		return report.Sample{}, err
	}
	return r.load(ctx, s, m, packetVIP, report.Sample{Conns: s.Conns(), Proxy: f.proxy != nil, Empty: m.usage.RSS})
}

// awaitArrival waits until frames reach the server.
func awaitArrival(ctx context.Context, c *worker, proxy *proc.Process) error {
	var ended <-chan struct{}
	if proxy != nil {
		ended = proxy.Done()
	}
	limit := time.After(startLimit)
	first, err := load.Transmitted(serverSwitch)
	for err == nil {
		select {
		case <-ended:
			return proxy.Err()
		case <-c.Done():
			return c.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return errors.New("no frame has arrived")
		case <-time.After(50 * time.Millisecond):
		}
		var now uint64
		if now, err = load.Transmitted(serverSwitch); err == nil && now > first+1000 {
			return nil
		}
	}
	return err
}
