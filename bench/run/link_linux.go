package run

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/penlb/pen/internal/sock"
)

// A link is three cables on a switch, for direct server return. Client and switch are in the namespace of the
// benchmark; the load balancer and the server have one each.
//
//	        ┌── client (here) 10.6.1.0
//	switch ─┼── lb            10.6.0.2
//	        └── server        10.6.0.3 to .5, three servers with the virtual address
//
// Frames end at the server's interface: only those of connections are for its stack. The sender's processor carries a
// frame to the load balancer, as an interrupt of a network card would, and the load balancer's carries it to the server.
type link struct {
	lb, server *os.File
	sink       *program // nil: frames are for the server's stack
}

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

// enter is the command line that runs argv in a namespace.
func enter(ns *os.File, argv ...string) []string {
	return append([]string{"nsenter", "--net=" + inside(ns), "--"}, argv...)
}

// ip runs ip(8) with each of the lines, in a namespace or here, until one fails.
func ip(ctx context.Context, ns *os.File, lines ...string) error {
	for _, line := range lines {
		argv := append([]string{"ip"}, strings.Fields(line)...)
		if ns != nil {
			argv = enter(ns, argv...)
		}
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// newLink makes a link for connections, or for frames that end at the server's interface.
func newLink(ctx context.Context, connections bool) (l *link, err error) {
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
	if err = ip(ctx, nil, "link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 up",
		"link add "+clientLink+" type veth peer name "+clientSwitch,
		"link add "+lbSwitch+" type veth peer name "+lbLink+" address "+lbMAC+" netns "+inside(l.lb),
		"link add "+serverSwitch+" type veth peer name "+serverLink+" address "+serverMAC+" netns "+inside(l.server)); err != nil {
		return l, err
	}
	// The firewall of the host has no part in it, if it has been told to look at bridges.
	if err = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("0"), 0o644); err != nil && !os.IsNotExist(err) {
		return l, err
	}
	for _, plug := range []string{clientSwitch, lbSwitch, serverSwitch} {
		if err = ip(ctx, nil, "link set "+plug+" master br0", "link set "+plug+" up"); err != nil {
			return l, err
		}
	}
	if err = ip(ctx, l.lb, "addr add 10.6.0.2/16 dev "+lbLink, "link set "+lbLink+" up"); err != nil {
		return l, err
	}
	if connections {
		err = l.connections(ctx)
	} else {
		l.sink, err = l.attach(l.server, serverLink, drop)
	}
	if err != nil {
		return l, err
	}
	for _, s := range packetServers {
		if err = ip(ctx, l.server, "addr add "+s.String()+"/16 dev "+serverLink); err != nil {
			return l, err
		}
	}
	if err = ip(ctx, l.server, "link set "+serverLink+" up"); err != nil {
		return l, err
	}
	err = ip(ctx, nil, "link set "+clientLink+" up")
	return l, err
}

// connections gives the client an address, and the server the virtual one, about which it keeps silent.
func (l *link) connections(ctx context.Context) error {
	if err := ip(ctx, nil, "addr add "+packetClients.String()+"/16 dev "+clientLink); err != nil {
		return err
	}
	if err := ip(ctx, l.server, "link set lo up", "addr add "+packetVIP.Addr().String()+"/32 dev lo"); err != nil {
		return err
	}
	return sock.InNamespace(int(l.server.Fd()), func() error {
		const conf = "/proc/sys/net/ipv4/conf/all/"
		if err := os.WriteFile(conf+"arp_ignore", []byte("1"), 0o644); err != nil {
			return err
		}
		return os.WriteFile(conf+"arp_announce", []byte("2"), 0o644)
	})
}

// attach puts a program that is made for the number of the interface on it.
func (l *link) attach(ns *os.File, name string, instructions code) (p *program, err error) {
	err = sock.InNamespace(int(ns.Fd()), func() error {
		p, err = attachProgram(name, instructions)
		return err
	})
	return p, err
}

func (l *link) close() {
	if l.lb == nil {
		return
	}
	if l.sink != nil {
		l.sink.close()
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
