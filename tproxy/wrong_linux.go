package tproxy

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/penlb/pen/internal/sock"
)

// Wrong is what stands in the way of p on this machine now, a line each.
func (p *Plan) Wrong() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if err := sock.TryTransparent(false); err != nil {
		add("this user may not connect from the addresses of clients: %v; it takes root or CAP_NET_RAW", err)
	}
	switch err := programs(); {
	case err != nil:
		add("the rules cannot be put in place: %v", err)
	case !p.placed():
		add("the rules are not in place, or you may not look: run this text with sh, or pen with `tproxy_setup on`")
		if err := p.tries(); err != nil && !p.Coarse {
			add("nft refuses them: %v", err)
		}
	}
	for _, s := range p.Servers {
		switch from := sock.SourceTo(s.Addr()); {
		case !from.IsValid():
			add("no route leads to server %v", s)
		case from == s.Addr():
			add("server %v is this machine: its answers to clients leave it without meeting the rules", s)
		}
	}
	if names := strict(); len(names) > 0 {
		add("rp_filter is 1 on %s: answers count only if they come in where the way to their server goes out", strings.Join(names, ", "))
	}
	if sysctl("ipv4/ip_forward") == "0" && p.has(netip.Addr.Is4) {
		add("net.ipv4.ip_forward is 0: servers that have this machine as their gateway reach nobody but clients of pen")
	}
	if sysctl("ipv6/conf/all/forwarding") == "0" && p.has(netip.Addr.Is6) {
		add("net.ipv6.conf.all.forwarding is 0: the same for servers of IPv6")
	}
	return lines
}

// has reports whether a server is of that family.
func (p *Plan) has(family func(netip.Addr) bool) bool {
	return slices.ContainsFunc(p.Servers, func(s netip.AddrPort) bool { return family(s.Addr()) })
}

// strict are the interfaces that drop what the way back does not lead to (rp_filter 1), except the loopback. The greater
// of all's value and their own counts; see ip-sysctl.rst of Linux.
func strict() (names []string) {
	const conf = "ipv4/conf/"
	dirs, _ := os.ReadDir("/proc/sys/net/" + conf)
	for _, d := range dirs {
		switch name := d.Name(); name {
		case "all", "default", "lo":
		default:
			if max(sysctl(conf+"all/rp_filter"), sysctl(conf+name+"/rp_filter")) == "1" {
				names = append(names, name)
			}
		}
	}
	return names
}

// sysctl is a variable below net; empty if it cannot be read.
func sysctl(name string) string {
	b, _ := os.ReadFile("/proc/sys/net/" + name)
	return strings.TrimSpace(string(b))
}

// SixHere reports whether this machine has IPv6.
func SixHere() bool {
	return sock.SourceTo(netip.IPv6Loopback()).IsValid()
}
