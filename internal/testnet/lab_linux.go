package testnet

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/penlb/pen/internal/sock"
)

// Lab is a set of hosts and the links between them. Its methods end the test when something cannot be made; they
// belong to the goroutine of the test.
type Lab struct {
	t     testing.TB
	hosts map[string]*Host
	links int // veth pairs so far; makes the names of interfaces unique
}

// New makes an empty lab, which is removed at the end of the test. Call [Need] with [Root] before.
func New(t testing.TB) *Lab {
	return &Lab{t: t, hosts: map[string]*Host{}}
}

// Host is the host of that name, made at the first call: a namespace whose loopback is up and that forwards nothing.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	if h := l.hosts[name]; h != nil {
		return h
	}
	ns, err := sock.NewNamespace()
	if err != nil {
		l.t.Fatalf("host %s: %v", name, err)
	}
	l.t.Cleanup(func() { ns.Close() })
	h := &Host{Name: name, t: l.t, ns: ns}
	l.hosts[name] = h
	h.IP("link", "set", "lo", "up")
	// Without this an IPv6 address is unusable for the second that duplicate address detection takes.
	h.SetSysctl("net.ipv6.conf.all.accept_dad", "0")
	h.SetSysctl("net.ipv6.conf.default.accept_dad", "0")
	return h
}

// Link joins a and b by a cable. cidrA and cidrB are the addresses with prefix lengths of its two ends, separated by
// spaces where there are several ("10.0.0.1/24 fd00::1/64"), or empty. It returns the names of the two interfaces.
func (l *Lab) Link(a, b *Host, cidrA, cidrB string) (ifA, ifB string) {
	l.t.Helper()
	ifA, ifB = l.cable(a, b)
	a.up(ifA, cidrA)
	b.up(ifB, cidrB)
	return ifA, ifB
}

// Port is one host's place on a bridge.
type Port struct {
	Host *Host
	CIDR string // addresses as for Link
}

// Bridge joins the ports by a switch, itself a host of that name without addresses. It returns the names of the
// interfaces of the ports, in their order.
func (l *Lab) Bridge(name string, ports ...Port) []string {
	l.t.Helper()
	sw := l.Host(name)
	sw.IP("link", "add", "br0", "type", "bridge", "forward_delay", "0")
	sw.IP("link", "set", "br0", "up")
	names := make([]string, len(ports))
	for i, p := range ports {
		var plug string
		names[i], plug = l.cable(p.Host, sw)
		sw.IP("link", "set", plug, "master", "br0")
		sw.up(plug, "")
		p.Host.up(names[i], p.CIDR)
	}
	return names
}

// cable makes a veth pair, one end on each host, both still down.
func (l *Lab) cable(a, b *Host) (ifA, ifB string) {
	l.t.Helper()
	ifA, ifB = fmt.Sprintf("v%da", l.links), fmt.Sprintf("v%db", l.links)
	l.links++
	a.IP("link", "add", ifA, "type", "veth", "peer", "name", ifB, "netns", b.path())
	return ifA, ifB
}

// up adds addresses to an interface and switches it on.
func (h *Host) up(ifname, cidrs string) {
	h.t.Helper()
	for _, cidr := range strings.Fields(cidrs) {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			h.t.Fatalf("%s %s: %v", h.Name, ifname, err)
		}
		if p.Addr().Is6() {
			h.IP("addr", "add", cidr, "dev", ifname, "nodad")
		} else {
			h.IP("addr", "add", cidr, "dev", ifname)
		}
	}
	h.IP("link", "set", ifname, "up")
}

// path names the namespace for other programs, as long as this process lives.
func (h *Host) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns.Fd()) }
