package dsr

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
)

// Ends of tunnels, and the longest packet for them.
var (
	end4 = ip("198.51.100.4")
	end6 = ip("2001:db8:51::6")
)

const endMTU = 1400

// newTunnels is a board whose only server is at the end of a tunnel.
func newTunnels(t testing.TB, end wire.Addr) *board {
	b := newBoard(t, 0)
	if err := b.hood.set([]Server{{Addr: end.Netip(), Tunnel: true}}); err != nil {
		t.Fatal(err)
	}
	lost := b.hood.tunnels(func(wire.Addr) (way, error) { return way{router, endMTU}, nil })
	if len(lost) > 0 || !b.hood.heard(neighbour{router, macOf(1)}) {
		t.Fatal("no way", lost)
	}
	b.remake()
	return b
}

// long makes a frame with data of n bytes for the transport header of TCP.
func long(src, dst wire.Addr, port uint16, n int) []byte {
	frame, h := packet(src, dst, wire.ProtoTCP, wire.TCPLen+n)
	for i := range h[wire.TCPLen:] {
		h[wire.TCPLen+i] = byte(i * 7)
	}
	wire.PutTCP(h, src, dst, port, 80, 1000, 5, wire.FlagPSH|wire.FlagACK|wire.FlagFIN|flagCWR, 100)
	binary.BigEndian.PutUint16(h[16:], 0)
	binary.BigEndian.PutUint16(h[16:], wire.Fold(wire.Sum(wire.PseudoSum(&src, &dst, wire.ProtoTCP, len(h)), h)))
	return frame
}

// Packets come out of the tunnel as they went in, whatever the families.
func TestTunnels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		end      wire.Addr
		src, dst wire.Addr
		source   string
		proto    uint8
	}{
		{"IPv4 in IPv4", end4, client, web, "172.16.0.0/16", wire.ProtoIPv4},
		{"IPv6 in IPv4", end4, client6, web6, "172.16.0.0/16", wire.ProtoIPv6},
		{"IPv4 in IPv6", end6, client, web, "100::/64", wire.ProtoIPv4},
		{"IPv6 in IPv6", end6, client6, web6, "100::/64", wire.ProtoIPv6},
	} {
		b := newTunnels(t, tt.end)
		sources, labels := map[wire.Addr]bool{}, map[uint32]bool{}
		for port := range uint16(50) {
			frame := long(tt.src, tt.dst, port+1, int(port)*7)
			const class = 0xb9 // DSCP 46, ECN 1
			if tt.src.Is4() {
				wire.SetIPv4Class(frame[wire.EthernetLen:], class)
			} else {
				wire.SetIPv6Class(frame[wire.EthernetLen:], class, 77)
			}
			if port%2 > 0 {
				frame = append(frame, 1, 2, 3) // padding
			}
			inner := bytes.Clone(frame[wire.EthernetLen:])
			v, rest := b.Process(b.tables, frame, 0)
			if v != Forwarded || len(b.tunnel.head) == 0 {
				t.Fatalf("%s: %s", tt.name, causes[v])
			}
			var room [2000]byte
			c := newCut(&b.tunnel, rest, offload{})
			out := c.next(room[:])
			if len(out) != c.longest() || c.next(room[:]) != nil {
				t.Fatalf("%s: %d bytes, at most %d", tt.name, len(out), c.longest())
			}
			var p wire.Packet
			if err := wire.Decode(out, &p); err != nil {
				t.Fatalf("%s: %v\n%x", tt.name, err, out)
			}
			eth := wire.Ethernet(out)
			if p.Dst != tt.end || p.Proto != tt.proto || eth.Dst() != macOf(1) || eth.Src() != ours || p.Fragment {
				t.Errorf("%s: %+v in %x", tt.name, p, out)
			}
			if !netip.MustParsePrefix(tt.source).Contains(p.Src.Netip()) {
				t.Errorf("%s: from %v", tt.name, p.Src)
			}
			if in := out[p.L4:p.End]; !bytes.Equal(in, inner[:len(in)]) || len(in) != len(inner)-3*int(port%2) {
				t.Errorf("%s: %x has become %x", tt.name, inner, in)
			}
			h := out[wire.EthernetLen:]
			if tt.end.Is4() {
				if h[1] != class || h[6] != 0x40 || h[7] != 0 || h[8] != 64 {
					t.Errorf("%s: header %x", tt.name, h[:20])
				}
			} else {
				first := binary.BigEndian.Uint32(h)
				if first>>20 != 6<<8|class || h[7] != 64 {
					t.Errorf("%s: header %x", tt.name, h[:40])
				}
				labels[first&0xfffff] = true
			}
			sources[p.Src] = true
		}
		if len(sources) < 40 || !tt.end.Is4() && len(labels) < 40 {
			t.Errorf("%s: %d sources and %d labels for 50 flows", tt.name, len(sources), len(labels))
		}
	}
}

// The same address every time where one is asked for; and networks of any length.
func TestSources(t *testing.T) {
	t.Parallel()
	tests := []struct{ prefix, all, none string }{ // for hashes of ones and of zeros
		{"10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
		{"10.1.2.3/24", "10.1.2.255", "10.1.2.0"},
		{"10.1.2.3/8", "10.255.255.255", "10.0.0.0"},
		{"2001:db8::1/128", "2001:db8::1", "2001:db8::1"},
		{"2001:db8::/96", "2001:db8::ffff:ffff", "2001:db8::"},
		{"2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::"},
		{"2001:db8::/32", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::"},
	}
	for _, tt := range tests {
		p := netip.MustParsePrefix(tt.prefix)
		s := Sources{Four: p}
		f := (*outerSources).four
		if p.Addr().Is6() {
			s, f = Sources{Six: p}, (*outerSources).six
		}
		if err := s.check(); err != nil {
			t.Error(err)
		}
		n := s.numbers()
		if all, none := f(&n, ^uint64(0)), f(&n, 0); all != ip(tt.all) || none != ip(tt.none) {
			t.Errorf("%s: %v and %v", tt.prefix, all, none)
		}
	}
	for _, s := range []Sources{
		{Four: netip.MustParsePrefix("2001:db8::/64")}, {Six: netip.MustParsePrefix("10.0.0.0/8")},
		{Four: netip.MustParsePrefix("224.0.0.0/8")}, {Six: netip.MustParsePrefix("ff02::/64")},
	} {
		c := Config{Sources: s}
		if c.check() == nil {
			t.Errorf("%v is taken", s)
		}
	}
}

// Who sends what does not fit is told so, by the address that it was sent to.
func TestTooBigForTunnel(t *testing.T) {
	t.Parallel()
	const tcp4, tcp6 = endMTU - wire.IPv4Len - wire.TCPLen, endMTU - wire.IPv6Len - wire.TCPLen
	for _, end := range []wire.Addr{end4, end6} {
		b := newTunnels(t, end)
		b.want(Forwarded, long(client, web, 1, tcp4))
		b.want(Forwarded, long(client6, web6, 1, tcp6))
		frame := long(client, web, 1, tcp4+1)
		quoted := bytes.Clone(frame[wire.EthernetLen:])
		answer := b.want(Answered, frame)
		var p wire.Packet
		if err := wire.Decode(answer, &p); err != nil {
			t.Fatal(err)
		}
		m := answer[p.L4:p.End]
		if p.Src != web || p.Dst != client || wire.Ethernet(answer).Dst() != clientMAC || wire.Ethernet(answer).Src() != ours ||
			p.End-p.L3 != complaint4 || m[0] != wire.ICMPUnreachable || m[1] != wire.ICMPTooBig ||
			binary.BigEndian.Uint16(m[6:]) != endMTU || wire.Fold(wire.Sum(0, m)) != 0 || !bytes.HasPrefix(quoted, m[wire.ICMPLen:]) {
			t.Errorf("answer %x", answer)
		}
		frame = long(client6, web6, 1, tcp6+1)
		quoted = bytes.Clone(frame[wire.EthernetLen:])
		answer = b.want(Answered, frame)
		if err := wire.Decode(answer, &p); err != nil {
			t.Fatal(err)
		}
		m = answer[p.L4:p.End]
		if p.Src != web6 || p.Dst != client6 || p.Proto != wire.ProtoICMPv6 || p.End-p.L3 != complaint6 ||
			m[0] != wire.ICMPv6TooBig || binary.BigEndian.Uint32(m[4:]) != endMTU ||
			wire.Fold(wire.Sum(wire.PseudoSum(&p.Src, &p.Dst, p.Proto, len(m)), m)) != 0 || !bytes.HasPrefix(quoted, m[wire.ICMPLen:]) {
			t.Errorf("answer %x", answer)
		}

		// Nobody may be told about these (RFC 1122, 3.2.2).
		later, _ := packet(client, all, wire.ProtoUDP, endMTU)
		b.want(DropTooBig, fragmented(later, 7, 100, false))
		b.want(DropTooBig, change(long(client, web, 1, tcp4+1), func(f wire.Ethernet) { f.SetSrc(wire.Broadcast) }))
		b.want(DropTooBig, long(ip("224.0.0.1"), web, 1, tcp4+1))
		// Nor too often.
		last := Answered
		for range complaintsPerSecond {
			last, _ = b.Forwarder.Process(b.tables, long(client, web, 1, tcp4+1), 0, 0)
		}
		if last != DropTooBig {
			t.Error("no limit")
		}
		if v, _ := b.Forwarder.Process(b.tables, long(client, web, 1, tcp4+1), 0, second); v != Answered {
			t.Error("not even a second later")
		}
	}
}

// A tag has no place on the way on.
func TestTagsEndBeforeTunnel(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, end4)
	frame := segment(client, web, 1, 80, 0)
	tagged := append(append(room(0), frame[:12]...), 0x81, 0, 0, 5)
	b.want(DropOther, append(tagged, frame[12:]...))
}

// What the sender has left to the network card is done before the tunnel: the data arrive, in packets that fit.
func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		src, dst      wire.Addr
		data, segment int
		pieces        int
	}{
		{"fits", client, web, 4000, 1000, 4},
		{"rest", client, web, 4001, 1000, 5},
		{"one", client, web, 999, 1000, 1},
		{"none", client, web, 0, 1000, 1},
		{"cut smaller than asked for", client, web, 2800, 1448, 3},
		{"64 KB", client, web, 65000, 1448, 48},
		{"IPv6", client6, web6, 4000, 1000, 4},
		{"IPv6, smaller", client6, web6, 2680, 1428, 2},
	} {
		for _, end := range []wire.Addr{end4, end6} {
			b := newTunnels(t, end)
			frame := long(tt.src, tt.dst, 9, tt.data)
			want := bytes.Clone(frame)
			v, packet := b.Forwarder.Process(b.tables, frame, tt.segment, 0)
			if v != Forwarded {
				t.Fatalf("%s: %s", tt.name, causes[v])
			}
			var got []byte
			c, pieces, seq := newCut(&b.tunnel, packet, offload{segment: tt.segment}), 0, uint32(1000)
			for room := make([]byte, c.longest()); ; pieces++ {
				out := c.next(room)
				if out == nil {
					break
				}
				var outer, p wire.Packet
				if err := wire.Decode(out, &outer); err != nil || outer.End != len(out) || outer.End-outer.L4 > endMTU {
					t.Fatalf("%s: piece %d: %v %+v", tt.name, pieces, err, outer)
				}
				in := append(bytes.Clone(want[:wire.EthernetLen]), out[outer.L4:]...)
				if err := wire.Decode(in, &p); err != nil {
					t.Fatalf("%s: piece %d: %v", tt.name, pieces, err)
				}
				h := in[p.L4:p.End]
				if p.Sequence(in) != seq || wire.Fold(wire.Sum(wire.PseudoSum(&p.Src, &p.Dst, p.Proto, len(h)), h)) != 0 {
					t.Errorf("%s: piece %d: sequence %d, want %d; or checksum", tt.name, pieces, p.Sequence(in), seq)
				}
				got = append(got, h[wire.TCPLen:]...)
				seq += uint32(len(h) - wire.TCPLen)
				last := len(got) == tt.data
				flags := uint8(wire.FlagACK)
				if pieces == 0 {
					flags |= flagCWR
				}
				if last {
					flags |= wire.FlagFIN | wire.FlagPSH
				}
				if h[13] != flags {
					t.Errorf("%s: piece %d: flags %#x, want %#x", tt.name, pieces, h[13], flags)
				}
			}
			if !bytes.Equal(want[len(want)-tt.data:], got) || pieces != tt.pieces {
				t.Errorf("%s: %d bytes in %d pieces, want %d in %d", tt.name, len(got), pieces, tt.data, tt.pieces)
			}
		}
	}
}

// Datagrams stay what they are: if one does not fit, its sender is told.
func TestCutDatagrams(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, end4)
	frame, h := packet(client, all, wire.ProtoUDP, wire.UDPLen+3001)
	wire2 := datagram(client, all, 1, 2)[wire.EthernetLen+wire.IPv4Len:]
	copy(h, wire2)
	binary.BigEndian.PutUint16(h[4:], uint16(len(h)))
	v, rest := b.Forwarder.Process(b.tables, bytes.Clone(frame), 1000, 0)
	if v != Forwarded {
		t.Fatal(causes[v])
	}
	c, room := newCut(&b.tunnel, rest, offload{segment: 1000}), make([]byte, 2000)
	for _, n := range []int{1000, 1000, 1000, 1} {
		out := c.next(room)
		h := out[wire.EthernetLen+2*wire.IPv4Len:]
		src, dst := client, all
		if len(h) != wire.UDPLen+n || int(binary.BigEndian.Uint16(h[4:])) != len(h) ||
			wire.Fold(wire.Sum(wire.PseudoSum(&src, &dst, wire.ProtoUDP, len(h)), h)) != 0 {
			t.Errorf("datagram %x", h)
		}
	}
	if c.next(room) != nil {
		t.Error("one too many")
	}
	if v, _ := b.Forwarder.Process(b.tables, frame, endMTU, 0); v != Answered {
		t.Errorf("too big: %d %s", v, causes[v])
	}
}

// A checksum of which there is only the beginning gets its end.
func TestUnfinishedChecksum(t *testing.T) {
	t.Parallel()
	for _, ends := range [][2]wire.Addr{{client, web}, {client6, web6}} {
		b := newTunnels(t, end6)
		frame := long(ends[0], ends[1], 1, 101)
		want := bytes.Clone(frame[wire.EthernetLen:])
		l4 := len(frame) - 101 - wire.TCPLen
		pseudo := ^wire.Fold(wire.PseudoSum(&ends[0], &ends[1], wire.ProtoTCP, wire.TCPLen+101))
		binary.BigEndian.PutUint16(frame[l4+16:], pseudo)
		_, packet := b.Forwarder.Process(b.tables, frame, 0, 0)
		start := l4 - wire.EthernetLen
		c := newCut(&b.tunnel, packet, offload{start: start, sum: start + 16})
		out := c.next(make([]byte, 2000))
		if d := cmp.Diff(want, out[len(b.tunnel.head):]); d != "" {
			t.Error(d)
		}
	}
	packet := []byte{1, 2, 3, 4}
	for _, o := range []offload{{start: -14, sum: 0}, {start: 5, sum: 7}, {start: 3, sum: 2}, {start: 0, sum: 3}} {
		finish(packet, o) // nonsense is left alone
	}
	if d := cmp.Diff([]byte{1, 2, 3, 4}, packet); d != "" {
		t.Error(d)
	}
}

// Routers come and go, and servers with them.
func TestWaysChange(t *testing.T) {
	t.Parallel()
	b := newTunnels(t, end4)
	h := &b.hood
	if err := h.set([]Server{{Addr: end4.Netip(), Tunnel: true}, {Addr: end6.Netip(), Tunnel: true}}); err != nil {
		t.Fatal(err)
	}
	other := ip("192.0.2.253")
	to := func(ways map[wire.Addr]way, noWay error) (lost int) {
		return len(h.tunnels(func(a wire.Addr) (way, error) {
			if w, ok := ways[a]; ok {
				return w, nil
			}
			return way{}, noWay
		}))
	}
	alive := func(want4, want6 bool) {
		t.Helper()
		if h.members[0].alive != want4 || h.members[1].alive != want6 {
			t.Errorf("alive %v %v, want %v %v", h.members[0].alive, h.members[1].alive, want4, want6)
		}
	}
	if to(map[wire.Addr]way{end4: {router, 1480}, end6: {router, 1460}}, nil) != 0 {
		t.Error("lost")
	}
	alive(true, true) // who is behind a router that is known is there at once
	var questions []wire.Addr
	h.turn(func(whom wire.Addr, _ wire.MAC) { questions = append(questions, whom) })
	if d := cmp.Diff([]wire.Addr{router}, questions); d != "" {
		t.Errorf("asked: %s", d)
	}
	if to(map[wire.Addr]way{end4: {router, 1480}, end6: {other, 1460}}, nil) != 0 {
		t.Error("lost")
	}
	alive(true, false)
	h.heard(neighbour{other, macOf(2)})
	alive(true, true)
	for i, want := range []int{1, 0} { // it is said once
		if n := to(map[wire.Addr]way{end4: {router, 1480}}, errTooMany); n != want {
			t.Errorf("time %d: %d lost", i, n)
		}
	}
	alive(true, false)
	if len(h.shares()) != 1 {
		t.Errorf("shares %v", h.shares())
	}
	// Without a tunnel it is looked for on the link again.
	if err := h.set([]Server{{Addr: end4.Netip()}}); err != nil {
		t.Fatal(err)
	}
	alive(false, false)
	h.heard(neighbour{router, macOf(1)})
	alive(false, false)
	h.heard(neighbour{end4, macOf(4)})
	if got := h.targets()[0]; got.Flags != targetAlive|targetChosen || got.MAC != macOf(4) {
		t.Errorf("target %+v", got)
	}
}
