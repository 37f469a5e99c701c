package peer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestUDP: whoever takes part in scenarios of UDP is told so.
func TestUDP(t *testing.T) {
	t.Parallel()
	for _, p := range All() {
		if p.Name == Direct || p.StreamsOnly || p.Mode != "" {
			continue
		}
		if p.Ours || p.config != nil { // pen cannot be told
			s := &Setup{UDP: true, Answers: 3}
			told := strings.Contains(strings.Join(p.argv(s), " "), "-O udp_responses 3")
			if p.config != nil {
				told = strings.Contains(p.config(s), "proxy_responses 3;")
			}
			if !told {
				t.Errorf("%s: does not know of 3 answers", p.Name)
			}
		}
		for _, udp := range []bool{false, true} {
			s := &Setup{Listen: netip.MustParseAddrPort("127.0.0.1:1"), Backend: netip.MustParseAddrPort("127.0.0.1:2"), Conns: 9, UDP: udp}
			told := slices.Contains(p.argv(s), "-U")
			if p.config != nil {
				told = strings.Contains(p.config(s), "listen 127.0.0.1:1 udp;")
			}
			if told != udp {
				t.Errorf("%s: UDP %v, want %v", p.Name, told, udp)
			}
		}
	}
}
