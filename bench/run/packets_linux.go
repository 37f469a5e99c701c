package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/peer"
	"github.com/penlb/pen/bench/proc"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/scenario"
	"github.com/penlb/pen/internal/sock"
)

// A link is three cables on a switch, for direct server return. Client and switch are in the namespace of the
// benchmark; the load balancer and the server have one each.
//
//	        ┌── client (here)
//	switch ─┼── lb      10.6.0.2
//	        └── server  10.6.0.3 to .5, three servers that throw away what they get
type link struct{ lb, server *os.File }

const (
	clientLink, lbLink, serverLink       = "pc", "pl", "ps"
	clientSwitch, lbSwitch, serverSwitch = "sc", "sl", "ss"
	lbMAC, serverMAC                     = "02:00:00:00:06:02", "02:00:00:00:06:03"
)

// Addresses of the link.
var (
	packetVIP     = netip.MustParseAddrPort("10.6.0.100:9")
	packetServers = []netip.Addr{netip.MustParseAddr("10.6.0.3"), netip.MustParseAddr("10.6.0.4"), netip.MustParseAddr("10.6.0.5")}
	packetClients = netip.MustParseAddr("10.6.1.0") // from here on
)

// inside names a namespace for other programs.
func inside(ns *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd()) }

func newLink(ctx context.Context) (l *link, err error) {
	l = &link{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.lb, err = sock.NewNamespace(); err != nil {
		return nil, err
	}
	if l.server, err = sock.NewNamespace(); err != nil {
		return nil, err
	}
	ip := func(ns *os.File, lines ...string) {
		for _, line := range lines {
			argv := append([]string{"ip"}, strings.Fields(line)...)
			if ns != nil {
				argv = append([]string{"nsenter", "--net=" + inside(ns), "--"}, argv...)
			}
			if err == nil {
				if out, e := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); e != nil {
					err = fmt.Errorf("ip %s: %w: %s", line, e, strings.TrimSpace(string(out)))
				}
			}
		}
	}
	ip(nil, "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up",
		"link add "+clientLink+" type veth peer name "+clientSwitch,
		"link add "+lbSwitch+" type veth peer name "+lbLink+" address "+lbMAC+" netns "+inside(l.lb),
		"link add "+serverSwitch+" type veth peer name "+serverLink+" address "+serverMAC+" netns "+inside(l.server))
	for _, plug := range []string{clientSwitch, lbSwitch, serverSwitch} {
		ip(nil, "link set "+plug+" master br0", "link set "+plug+" up")
	}
	ip(nil, "link set "+clientLink+" up")
	ip(l.lb, "addr add 10.6.0.2/16 dev "+lbLink, "link set "+lbLink+" up")
	for _, s := range packetServers {
		ip(l.server, "addr add "+s.String()+"/16 dev "+serverLink)
	}
	ip(l.server, "link set "+serverLink+" up")
	return l, err
}

func (l *link) close() {
	if l.lb == nil {
		return
	}
	// The link is gone when the last cable is; a namespace takes its ends with it, but not at once.
	for _, name := range []string{clientLink, lbSwitch, serverSwitch, "br0"} {
		_ = exec.Command("ip", "link", "del", name).Run() // it may never have been made
	}
	l.lb.Close()
	if l.server != nil {
		l.server.Close()
	}
}

// packets measures a scenario of frames.
func (r *runner) packets(ctx context.Context, s *scenario.Scenario) (report.Scenario, error) {
	result := report.Scenario{Name: s.Name, Title: s.Title, Columns: s.Columns}
	var peers []*peer.Found
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Missing == "" && p.ForwardsPackets() {
			peers = append(peers, p)
			result.Cells = append(result.Cells, report.Cell{Peer: p.Name})
		}
	}
	l, err := newLink(ctx)
	if err != nil {
		return result, err
	}
	defer l.close()
	err = r.rounds(ctx, s, peers, &result, func(p *peer.Found) (report.Sample, error) { return r.packetCell(ctx, l, s, p) })
	return result, err
}

// packetCell measures one peer for one round.
func (r *runner) packetCell(ctx context.Context, l *link, s *scenario.Scenario, p *peer.Found) (report.Sample, error) {
	spec := &load.PacketSpec{Spec: load.Spec{Target: packetVIP, Groups: s.Groups, Measure: r.Window}, Out: clientLink,
		Next: lbMAC, In: serverSwitch, From: packetClients}
	var proxy *proc.Process
	if argv := p.PacketCommand(&peer.Packets{Interface: lbLink, VIP: packetVIP, Servers: packetServers}); argv == nil {
		spec.Next = serverMAC
	} else {
		var err error
		argv = append([]string{"nsenter", "--net=" + inside(l.lb), "--"}, argv...)
		if proxy, _, err = proc.Start(ctx, r.on(r.ProxyCPU, argv), nil, false); err != nil {
			return report.Sample{}, err
		}
		defer proxy.Stop()
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return report.Sample{}, err
	}
	c, err := r.startWorker(ctx, "packets", string(b))
	if err != nil {
		return report.Sample{}, err
	}
	defer c.stop()
	if err := c.expect(load.Ready, openLimit); err != nil {
		return report.Sample{}, err
	}
	// pen asks for its servers each second, and forwards nothing before they have answered.
	if err := awaitArrival(ctx, c, proxy); err != nil {
		return report.Sample{}, err
	}
	m, err := newMeter(proxy, r.ProxyCPU)
	if err != nil {
		return report.Sample{}, err
	}
	sample := report.Sample{Conns: s.Conns(), Proxy: proxy != nil, Empty: m.usage.RSS}
	err = r.window(c, m, &sample)
	return sample, err
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
