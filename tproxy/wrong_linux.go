package tproxy

import (
	"fmt"
	"net/netip"
	"os"
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
	if strict("all") || strict("default") {
		add("rp_filter is 1: answers count only if they come in where the way to their server goes out")
	}
	if on := sysctl("ip_forward"); on == "0" && p.hasFour() {
		add("ip_forward is 0: servers that have this machine as their gateway reach nobody but clients of pen")
	}
	return lines
}

func (p *Plan) hasFour() bool {
	for _, s := range p.Servers {
		if s.Addr().Is4() {
			return true
		}
	}
	return false
}

func strict(conf string) bool { return sysctl("conf/"+conf+"/rp_filter") == "1" }

// sysctl is a variable below net.ipv4; empty if it cannot be read.
func sysctl(name string) string {
	b, _ := os.ReadFile("/proc/sys/net/ipv4/" + name)
	return strings.TrimSpace(string(b))
}

// SixHere reports whether this machine has IPv6.
func SixHere() bool {
	return sock.SourceTo(netip.IPv6Loopback()).IsValid()
}
