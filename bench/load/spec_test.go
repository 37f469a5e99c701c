package load

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	ping := Group{Name: "g", Kind: Ping, Conns: 1, Request: 64, Reply: 64}
	spec := func(change func(*Spec, *Group)) Spec {
		g := ping
		s := Spec{Target: netip.MustParseAddrPort("127.0.0.1:80"), Measure: time.Second}
		change(&s, &g)
		if g.Name != "" {
			s.Groups = append(s.Groups, g)
		}
		return s
	}
	tests := []struct {
		name string
		in   Spec
		want string // part of the error; empty: none
	}{
		{"ping", spec(func(*Spec, *Group) {}), ""},
		{"open loop", spec(func(_ *Spec, g *Group) { g.Rate = 1000 }), ""},
		{"paced download", spec(func(_ *Spec, g *Group) { *g = Group{Name: "g", Kind: Down, Conns: 1, Rate: 1e5} }), ""},
		{"no target", spec(func(s *Spec, _ *Group) { s.Target = netip.AddrPort{} }), "target"},
		{"IPv6 target", spec(func(s *Spec, _ *Group) { s.Target = netip.MustParseAddrPort("[::1]:80") }), "IPv4"},
		{"no window", spec(func(s *Spec, _ *Group) { s.Measure = 0 }), "window"},
		{"no groups", spec(func(_ *Spec, g *Group) { g.Name = "" }), "no groups"},
		{"no connections", spec(func(_ *Spec, g *Group) { g.Conns = 0 }), "no connections"},
		{"request shorter than its header", spec(func(_ *Spec, g *Group) { g.Request = HeaderBytes - 1 }), "request"},
		{"no reply", spec(func(_ *Spec, g *Group) { g.Reply = 0 }), "reply"},
		{"endless reply", spec(func(_ *Spec, g *Group) { n := endless; g.Reply = int(n) }), "reply"},
		{"several under way", spec(func(_ *Spec, g *Group) { g.Kind, g.Depth = Ask, 64 }), ""},
		{"several without a number", spec(func(_ *Spec, g *Group) { g.Kind, g.Depth, g.Reply = Ask, 64, 15 }), "under way"},
		{"several of one port each", spec(func(_ *Spec, g *Group) { g.Kind, g.Depth = AskOnce, 64 }), "under way"},
		{"paced datagrams", spec(func(_ *Spec, g *Group) { g.Kind, g.Rate = AskOnce, 1 }), "rate"},
		{"flood", spec(func(_ *Spec, g *Group) { *g = Group{Name: "g", Kind: Flood, Conns: 1, Request: 1400, Train: 44} }), ""},
		{"flood of long trains", spec(func(_ *Spec, g *Group) { *g = Group{Name: "g", Kind: Flood, Conns: 1, Request: 1400, Train: 47} }), "trains"},
		{"floods", spec(func(_ *Spec, g *Group) { *g = Group{Name: "g", Kind: Flood, Conns: 2, Request: 1400} }), "flood"},
		{"negative rate", spec(func(_ *Spec, g *Group) { g.Rate = -1 }), "rate"},
		{"paced upload", spec(func(_ *Spec, g *Group) { g.Kind, g.Rate = Up, 1 }), "rate"},
		{"unknown kind", spec(func(_ *Spec, g *Group) { g.Kind = "sideways" }), "kind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.Check()
			if tt.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestRequestHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		group          Group
		length         int
		request, reply uint32
	}{
		{Group{Kind: Ping, Request: 64, Reply: 1024}, 64, 64, 1024},
		{Group{Kind: Short, Request: HeaderBytes, Reply: 1}, HeaderBytes, HeaderBytes, 1},
		{Group{Kind: Down}, HeaderBytes, HeaderBytes, endless},
		{Group{Kind: Up}, HeaderBytes, endless, 0},
	}
	for _, tt := range tests {
		b := tt.group.request()
		request, reply := header(b)
		if len(b) != tt.length || request != tt.request || reply != tt.reply {
			t.Errorf("%s: %d bytes that say %d, %d; want %d, %d, %d", tt.group.Kind, len(b), request, reply, tt.length, tt.request, tt.reply)
		}
	}
}
