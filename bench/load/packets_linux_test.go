package load

import (
	"net/netip"
	"testing"
	"time"

	"github.com/penlb/pen/dsr/wire"
)

func packetSpec(size int) *PacketSpec {
	return &PacketSpec{
		Spec: Spec{Target: netip.MustParseAddrPort("10.6.0.100:9"), Measure: time.Second,
			Groups: []Group{{Name: "frames", Kind: Packets, Conns: 300, Request: size}}},
		Out: "lo", Next: "02:00:00:00:00:01", In: "lo", From: netip.MustParseAddr("10.6.1.0"),
	}
}

// Every flow has an address and a port of its own, and all frames are well-formed.
func TestFrames(t *testing.T) {
	t.Parallel()
	for _, size := range []int{60, 1514} {
		s := packetSpec(size)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		list, err := s.frames()
		if err != nil {
			t.Fatal(err)
		}
		type flow struct {
			addr wire.Addr
			port uint16
		}
		seen := map[flow]bool{}
		for _, b := range list {
			var p wire.Packet
			if err := wire.Decode(b, &p); err != nil || len(b) != size || p.End != size {
				t.Fatalf("frame %x: %v", b, err)
			}
			if p.Dst != wire.AddrFrom(s.Target.Addr()) || p.DstPort != 9 || wire.Ethernet(b).Dst().String() != s.Next {
				t.Fatalf("frame to %v port %d", p.Dst, p.DstPort)
			}
			seen[flow{p.Src, p.SrcPort}] = true
		}
		if len(seen) != 300 || !seen[flow{wire.AddrFrom(netip.MustParseAddr("10.6.2.43")), 10299}] {
			t.Errorf("%d flows", len(seen))
		}
	}
	for _, size := range []int{59, 1515} {
		if packetSpec(size).Check() == nil {
			t.Errorf("frames of %d bytes pass", size)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	s := packetSpec(60)
	s.Groups[0].Segments = true
	list, err := s.frames()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		var p wire.Packet
		if err := wire.Decode(b, &p); err != nil || p.Proto != wire.ProtoTCP || p.DstPort != 9 || p.Flags != wire.FlagACK|wire.FlagPSH {
			t.Fatalf("frame %x: %v, %+v", b, err, p)
		}
	}
}

// The pace is kept whatever the looks at the clock, and what was missed by more than a burst is not made up for.
func TestPace(t *testing.T) {
	t.Parallel()
	p, sent := pace{rate: 10_000}, 0
	for now := time.Duration(0); now <= time.Second; now += 30 * time.Microsecond {
		sent += p.due(now)
	}
	if sent < 9998 || sent > 10_000 {
		t.Errorf("%d frames in a second, want 10,000", sent)
	}
	if n := p.due(2 * time.Second); n != burst {
		t.Errorf("%d frames after a pause, want %d", n, burst)
	}
	if n := p.due(2*time.Second + 200*time.Microsecond); n != 2 {
		t.Errorf("%d frames soon after, want 2", n)
	}
	if n := (&pace{}).due(0); n != burst {
		t.Errorf("%d frames without a rate, want %d", n, burst)
	}
}

func TestTransmitted(t *testing.T) {
	t.Parallel()
	if _, err := Transmitted("lo"); err != nil {
		t.Error(err)
	}
	if n, err := Transmitted("none"); err == nil {
		t.Errorf("%d packets of no interface", n)
	}
}
