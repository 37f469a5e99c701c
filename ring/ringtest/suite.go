package ringtest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// Test runs the suite on the engine that open makes loops of. Its tests count the descriptors and goroutines of the
// process, so nothing else may run beside it.
func Test(t *testing.T, open func(testing.TB) ring.Loop) {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close() // package net keeps the descriptors of its own poller from its first use on
	}
	for _, area := range []struct {
		name  string
		cases []testCase
	}{
		{"accept", acceptCases},
		{"connect", connectCases},
		{"recv", recvCases},
		{"send", sendCases},
		{"close", closeCases},
		{"ready", readyCases},
		{"timer", timerCases},
		{"post", postCases},
		{"limit", limitCases},
		{"many", manyCases},
		{"datagrams", datagramCases},
	} {
		t.Run(area.name, func(t *testing.T) {
			for _, c := range area.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newRig(t, open)) })
			}
		})
	}
	t.Run("stop", func(t *testing.T) { testStop(t, open) })
}

type testCase struct {
	name string
	run  func(*rig)
}

func addr(ip string, port uint16) *sock.Addr {
	return &sock.Addr{AddrPort: netip.AddrPortFrom(netip.MustParseAddr(ip), port)}
}
