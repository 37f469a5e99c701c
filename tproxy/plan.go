package tproxy

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"
)

// Plan is what the kernel has to be told so that answers of servers, which go to clients, reach our sockets. All of it
// is in one table of nft(8), and in a rule and a table of routes for each family, with a name and a mark of its own: it
// can be put in place again, and taken away, without touching what others have set up.
type Plan struct {
	At  string // where pen listens; the plan is named after it
	Six bool   // IPv6 as well
	// Servers are only asked for by Coarse.
	Servers []netip.AddrPort
	// Coarse marks all that servers send to other machines, also their answers to clients that did not come by pen. It is
	// for kernels that lack the socket expression (CONFIG_NFT_SOCKET).
	Coarse bool
}

// preference of our rule: before the main table (32766), after that of local addresses (0).
const preference = 100

// id tells plans of one machine apart.
func (p *Plan) id() uint32 {
	h := fnv.New32a()
	h.Write([]byte(p.At))
	return h.Sum32() & (1<<24 - 1)
}

// table is the name of the table of nft(8).
func (p *Plan) table() string { return fmt.Sprintf("inet pen_%06x", p.id()) }

// mark is on the packets that are ours, and the number of the table of routes for them.
func (p *Plan) mark() uint32 { return 0x70000000 | p.id() }

// Nft is the script for nft -f, which takes effect at once or not at all. It begins anew whatever was there.
func (p *Plan) Nft() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %[1]s {}\ndelete table %[1]s\ntable %[1]s {\n\tchain answers {\n", p.table())
	b.WriteString("\t\ttype filter hook prerouting priority mangle; policy accept;\n")
	if p.Coarse {
		for _, s := range p.Servers {
			family := map[bool]string{true: "ip", false: "ip6"}[s.Addr().Is4()]
			fmt.Fprintf(&b, "\t\t%s saddr %v meta l4proto { tcp, udp } th sport %d fib daddr type != local meta mark set %#x\n",
				family, s.Addr(), s.Port(), p.mark())
		}
	} else {
		fmt.Fprintf(&b, "\t\tmeta l4proto { tcp, udp } socket transparent 1 meta mark set %#x\n", p.mark())
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// families are the options of ip(8) for the families of p.
func (p *Plan) families() []string {
	if p.Six {
		return []string{"-4", "-6"}
	}
	return []string{"-4"}
}

// Up is a script for sh(1) that puts p in place, on a machine where it is not.
func (p *Plan) Up() string {
	var b strings.Builder
	fmt.Fprintf(&b, "nft -f - <<'END'\n%sEND\n", p.Nft())
	for _, f := range p.families() {
		fmt.Fprintf(&b, "ip %s rule add pref %d fwmark %#x lookup %d\n", f, preference, p.mark(), p.mark())
		fmt.Fprintf(&b, "ip %s route replace local default dev lo table %d\n", f, p.mark())
	}
	return b.String()
}

// Down is a script for sh(1) that takes away what Up has done, as far as it is there; the table of nft(8) last.
func (p *Plan) Down() string {
	var b strings.Builder
	for _, f := range p.families() {
		fmt.Fprintf(&b, "ip %s rule del pref %d fwmark %#x lookup %d\n", f, preference, p.mark(), p.mark())
		fmt.Fprintf(&b, "ip %s route flush table %d\n", f, p.mark())
	}
	fmt.Fprintf(&b, "nft delete table %s\n", p.table())
	return b.String()
}
