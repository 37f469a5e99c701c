package dsr

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/penlb/pen/dsr/wire"
)

var (
	ours      = wire.MAC{2, 0, 0, 0, 0, 0xff}
	clientMAC = wire.MAC{2, 0, 0, 0, 0, 0xc1}
	client    = ip("192.0.2.1")
	client6   = ip("2001:db8::1")
	router    = ip("192.0.2.254")
	web       = ip("10.9.200.1") // TCP port 80
	dns       = ip("10.9.200.2") // UDP port 53
	all       = ip("10.9.200.3") // everything
	web6      = ip("fd09::200:1")
	lure      = ip("10.9.250.1")
)

func ip(s string) wire.Addr { return wire.AddrFrom(netip.MustParseAddr(s)) }

// A board is a forwarder with its tables, for as many servers as asked for.
type board struct {
	*Forwarder
	t      testing.TB
	hood   hood
	tables *tables
	config Config
	mirror *mirror
}

// Process is that of the forwarder, and lets the programs in the kernel do the same.
func (b *board) Process(t *tables, frame []byte, now int64) (Verdict, []byte) {
	before := bytes.Clone(frame)
	v, out := b.Forwarder.Process(t, frame, 0, now)
	b.mirror.check(b.t, t, before, v, append(bytes.Clone(b.tunnel.head), out...))
	return v, out
}

func newBoard(t testing.TB, servers int) *board {
	b := &board{t: t, mirror: newMirror(t), Forwarder: &Forwarder{flows: newFlowTable(1 << 12), pit: new(pit), counts: new(counts)}}
	b.config = Config{
		VIPs:   []VIP{{web.Netip(), 80, TCP}, {dns.Netip(), 53, UDP}, {all.Netip(), 0, Both}, {web6.Netip(), 80, TCP}},
		Tarpit: func(a netip.Addr) bool { return a.As4()[1] == 9 },
	}
	b.serve(servers)
	return b
}

// serve makes the first n servers the ones that are chosen.
func (b *board) serve(n int) {
	b.config.Servers = nil
	for i := range n {
		b.config.Servers = append(b.config.Servers, server(i+1))
	}
	if err := b.hood.set(b.config.Servers); err != nil {
		b.t.Fatal(err)
	}
	for i := range n {
		b.hood.heard(at(i + 1))
	}
	b.remake()
}

func (b *board) remake() {
	b.tables = &tables{mac: ours, vips: vipTable(b.config.VIPs), servers: b.hood.targets(), slots: slotsOf(b.hood.shares()),
		outer:  b.config.Sources.numbers(),
		config: b.config, tarpit: b.config.Tarpit != nil, own: map[wire.Addr]bool{}}
	for a := range b.hood.byAddr {
		b.tables.own[a] = true
	}
}

// to is the server that the frame goes to, counted from 1; the frame must be forwarded, and otherwise as it was.
func (b *board) to(frame []byte) int {
	b.t.Helper()
	before := bytes.Clone(frame)
	v, out := b.Process(b.tables, frame, 0)
	if v != Forwarded {
		b.t.Fatalf("%s, want forwarded", causes[v])
	}
	eth := wire.Ethernet(out)
	if eth.Src() != ours || !bytes.Equal(out[12:], before[12:]) {
		b.t.Fatalf("forwarded as %x", out)
	}
	for i := range b.hood.members {
		if b.hood.members[i].mac == eth.Dst() {
			return i + 1
		}
	}
	b.t.Fatalf("to %v, which is nobody", eth.Dst())
	return 0
}

func (b *board) want(v Verdict, frame []byte) []byte {
	b.t.Helper()
	got, out := b.Process(b.tables, frame, 0)
	if got != v {
		b.t.Fatalf("verdict %d %s, want %d %s", got, causes[got], v, causes[v])
	}
	if (out != nil) != (v <= Answered) {
		b.t.Fatalf("%d bytes to send", len(out))
	}
	return out
}

// room is a frame buffer as the ring has it.
func room(n int) []byte { return make([]byte, n, n+100) }

// packet is a frame from the client to us with room for a transport header and data of n bytes.
func packet(src, dst wire.Addr, proto uint8, n int) (frame, transport []byte) {
	if src.Is4() {
		frame = room(wire.EthernetLen + wire.IPv4Len + n)
		wire.PutEthernet(frame, ours, clientMAC, wire.TypeIPv4)
		wire.PutIPv4(frame[wire.EthernetLen:], proto, src, dst, n)
		return frame, frame[wire.EthernetLen+wire.IPv4Len:]
	}
	frame = room(wire.EthernetLen + wire.IPv6Len + n)
	wire.PutEthernet(frame, ours, clientMAC, wire.TypeIPv6)
	wire.PutIPv6(frame[wire.EthernetLen:], proto, 64, src, dst, n)
	return frame, frame[wire.EthernetLen+wire.IPv6Len:]
}

func segment(src, dst wire.Addr, srcPort, dstPort uint16, flags uint8) []byte {
	frame, h := packet(src, dst, wire.ProtoTCP, wire.TCPLen)
	wire.PutTCP(h, src, dst, srcPort, dstPort, 1000, 0, flags, 100)
	return frame
}

func datagram(src, dst wire.Addr, srcPort, dstPort uint16) []byte {
	frame, h := packet(src, dst, wire.ProtoUDP, wire.UDPLen)
	binary.BigEndian.PutUint16(h, srcPort)
	binary.BigEndian.PutUint16(h[2:], dstPort)
	binary.BigEndian.PutUint16(h[4:], wire.UDPLen)
	return frame
}

// fragmented makes frame a fragment: the first one if offset is 0.
func fragmented(frame []byte, id uint16, offset uint16, more bool) []byte {
	h := frame[wire.EthernetLen:][:wire.IPv4Len]
	binary.BigEndian.PutUint16(h[4:], id)
	binary.BigEndian.PutUint16(h[6:], offset)
	if more {
		h[6] |= 0x20
	}
	binary.BigEndian.PutUint16(h[10:], 0)
	binary.BigEndian.PutUint16(h[10:], wire.Fold(wire.Sum(0, h)))
	return frame
}

func host(i int) wire.Addr {
	return wire.AddrFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
}

func TestWhatIsForwarded(t *testing.T) {
	t.Parallel()
	echo, h := packet(client, all, wire.ProtoICMP, wire.ICMPLen)
	h[0] = wire.ICMPEcho
	echoWeb, h := packet(client, web, wire.ProtoICMP, wire.ICMPLen)
	h[0] = wire.ICMPEcho
	tests := []struct {
		name  string
		frame []byte
		want  Verdict
	}{
		{"TCP to its port", segment(client, web, 999, 80, wire.FlagSYN), Forwarded},
		{"TCP to another port", segment(client, web, 999, 81, wire.FlagSYN), DropOther},
		{"UDP to the port of TCP", datagram(client, web, 999, 80), DropOther},
		{"UDP to its port", datagram(client, dns, 999, 53), Forwarded},
		{"TCP to the port of UDP", segment(client, dns, 999, 53, wire.FlagSYN), DropOther},
		{"any port, TCP", segment(client, all, 999, 12345, wire.FlagACK), Forwarded},
		{"any port, UDP", datagram(client, all, 999, 12345), Forwarded},
		{"IPv6", segment(client6, web6, 999, 80, wire.FlagSYN), Forwarded},
		{"IPv6 to another port", segment(client6, web6, 999, 443, wire.FlagSYN), DropOther},
		{"ping of a whole address", echo, Forwarded},
		{"ping of one port", echoWeb, DropOther},
		{"to somebody else", segment(client, ip("10.8.0.1"), 999, 80, wire.FlagSYN), DropOther},
		{"sent by ourselves", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f.SetSrc(ours) }), DropLoop},
		{"to another machine", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f.SetDst(clientMAC) }), DropForeign},
		{"to everybody", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f.SetDst(wire.Broadcast) }), DropForeign},
		{"cut", segment(client, web, 999, 80, 0)[:40], DropTruncated},
		{"empty", nil, DropTruncated},
		{"wrong length", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f[14] = 0x41 }), DropLength},
		{"wrong checksum", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f[24]++ }), DropChecksum},
		{"another protocol", change(segment(client, web, 999, 80, 0), func(f wire.Ethernet) { f[12] = 0x88 }), DropOther},
	}
	b := newBoard(t, 3)
	for _, tt := range tests {
		v, out := b.Process(b.tables, tt.frame, 0)
		if v != tt.want || (out != nil) != (v == Forwarded) {
			t.Errorf("%s: verdict %d %s, want %d %s", tt.name, v, causes[v], tt.want, causes[tt.want])
		}
	}
	var sum uint64
	for v := range b.counts.verdicts {
		sum += b.counts.verdicts[v].Load()
	}
	if sum != uint64(len(tests)) {
		t.Errorf("%d frames counted, want %d", sum, len(tests))
	}
}

func change(frame []byte, f func(wire.Ethernet)) []byte { f(frame); return frame }

func TestClientsStayWithTheirServer(t *testing.T) {
	t.Parallel()
	for _, ports := range []bool{false, true} {
		b := newBoard(t, 3)
		b.config.HashPort = ports
		b.remake()
		used := map[int]bool{}
		for port := range uint16(200) {
			used[b.to(segment(client, web, port, 80, wire.FlagSYN))] = true
		}
		if want := map[bool]int{false: 1, true: 3}[ports]; len(used) != want {
			t.Errorf("hash of ports %v: one client at %d servers, want %d", ports, len(used), want)
		}
		for i := range 200 {
			used[b.to(segment(host(i), web, 1, 80, wire.FlagSYN))] = true
		}
		if len(used) != 3 {
			t.Errorf("many clients at %d servers", len(used))
		}
	}
}

// Of a change of the set only new connections notice something.
func TestChangesMoveNoFlow(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 4)
	b.config.HashPort = true
	b.remake()
	before := map[uint16]int{}
	for port := range uint16(500) {
		before[port] = b.to(segment(client, web, port, 80, wire.FlagSYN))
	}
	for _, n := range []int{3, 1, 4, 2} {
		b.serve(n)
		for port, s := range before {
			if now := b.to(segment(client, web, port, 80, wire.FlagACK)); now != s {
				t.Fatalf("with %d servers flow %d moved from %d to %d", n, port, s, now)
			}
		}
	}
	// Those of the servers that left do not get the next connection from the same port.
	for port := range before {
		if now := b.to(segment(client, web, port, 80, wire.FlagSYN)); now > 2 {
			t.Fatalf("a new connection at %d, which has left", now)
		}
	}
}

func TestDeadServersAndNone(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 2)
	s := b.to(segment(client, web, 1, 80, wire.FlagSYN))
	b.hood.members[s-1].alive = false
	b.remake()
	if now := b.to(segment(client, web, 1, 80, wire.FlagACK)); now == s {
		t.Error("still at a dead server")
	}
	b.hood.members[2-s].alive = false
	b.remake()
	b.want(DropNoServer, segment(client, web, 1, 80, wire.FlagACK))

	b = newBoard(t, 1)
	b.hood.members[0].mac = ours
	b.remake()
	b.want(DropLoop, segment(client, web, 1, 80, wire.FlagSYN))
}

func TestDeniedClients(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 1)
	b.to(segment(client, web, 1, 80, wire.FlagSYN))
	b.config.Permit = func(netip.Addr) bool { return false }
	b.remake()
	b.to(segment(client, web, 1, 80, wire.FlagACK)) // it was let in
	b.want(DropDenied, segment(client, web, 2, 80, wire.FlagSYN))
	b.want(DropDenied, datagram(client, all, 2, 80))
}

func TestFragmentsFollowTheirFlow(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 5)
	b.config.HashPort = true
	b.remake()
	for i := range uint16(300) {
		from, port := host(int(i)), i+1
		whole := 0
		if i%2 == 0 {
			whole = b.to(datagram(from, all, port, 53))
		}
		first := b.to(fragmented(datagram(from, all, port, 53), i, 0, true))
		if whole != 0 && first != whole {
			t.Fatalf("first fragment at %d, flow at %d", first, whole)
		}
		for _, offset := range []uint16{1, 2} {
			if s := b.to(fragmented(datagram(from, all, 0, 0), i, offset, offset < 2)); s != first {
				t.Fatalf("fragment at %d, the first at %d", s, first)
			}
		}
		if s := b.to(datagram(from, all, port, 53)); s != first {
			t.Fatalf("after fragments at %d, they were at %d", s, first)
		}
		// The later one may come first, as long as the flow is not known by its ports.
		later := b.to(fragmented(datagram(from, all, 0, 0), i+1000, 1, false))
		if s := b.to(fragmented(datagram(from, all, port+1000, 53), i+1000, 0, true)); s != later {
			t.Fatalf("first fragment at %d, the later one was at %d", s, later)
		}
	}
}

// What a router says about a server's packet goes to that server.
func TestErrorsFollowTheirFlow(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 5)
	b.config.HashPort = true
	b.remake()
	for port := range uint16(100) {
		want := b.to(segment(client, web, port, 80, wire.FlagSYN))
		quoted := segment(web, client, 80, port, wire.FlagACK)[wire.EthernetLen:]
		frame, h := packet(router, web, wire.ProtoICMP, wire.ICMPLen+len(quoted))
		h[0], h[1] = wire.ICMPUnreachable, 4
		copy(h[wire.ICMPLen:], quoted)
		if s := b.to(frame); s != want {
			t.Fatalf("error at %d, flow at %d", s, want)
		}
		// One that quotes what another machine has sent is none of ours.
		frame, h = packet(router, web, wire.ProtoICMP, wire.ICMPLen+len(quoted))
		h[0] = wire.ICMPUnreachable
		copy(h[wire.ICMPLen:], segment(router, client, 80, port, 0)[wire.EthernetLen:])
		b.want(DropOther, frame)
	}
	want := b.to(segment(client6, web6, 7, 80, wire.FlagSYN))
	quoted := segment(web6, client6, 80, 7, wire.FlagACK)[wire.EthernetLen:]
	frame, h := packet(ip("fd09::1"), web6, wire.ProtoICMPv6, wire.ICMPLen+len(quoted))
	h[0] = 2 // packet too big
	copy(h[wire.ICMPLen:], quoted)
	if s := b.to(frame); s != want {
		t.Fatalf("error at %d, flow at %d", s, want)
	}
}

func TestTrafficIsCounted(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 1)
	for range 3 {
		b.to(segment(client, web, 1, 80, 0))
	}
	b.to(datagram(client, dns, 1, 53))
	if s := &b.counts.servers[0]; s.packets.Load() != 4 || s.bytes.Load() != 3*54+42 {
		t.Errorf("server: %d packets, %d bytes", s.packets.Load(), s.bytes.Load())
	}
	for i, want := range []uint64{3, 1, 0, 0} {
		if got := b.counts.vips[i].packets.Load(); got != want {
			t.Errorf("VIP %d: %d packets, want %d", i, got, want)
		}
	}
}

func TestForwardingAllocatesNothing(t *testing.T) {
	b := newBoard(t, 3)
	b.config.Permit = func(netip.Addr) bool { return true }
	b.remake()
	port := uint16(0)
	frame, frame6 := segment(client, web, 1, 80, 0), segment(client6, web6, 1, 80, 0)
	for name, f := range map[string]func(){
		"known flow": func() { b.Forwarder.Process(b.tables, frame, 0, 0) },
		"IPv6":       func() { b.Forwarder.Process(b.tables, frame6, 0, 0) },
		"new flow": func() {
			port++
			binary.BigEndian.PutUint16(frame[34:], port)
			b.Forwarder.Process(b.tables, frame, 0, 0)
		},
		"tarpit": func() { b.Forwarder.Process(b.tables, segment4(frame), 0, 0) },
	} {
		if n := testing.AllocsPerRun(200, func() {
			wire.Ethernet(frame).SetSrc(clientMAC)
			wire.Ethernet(frame).SetDst(ours)
			wire.Ethernet(frame6).SetSrc(clientMAC)
			wire.Ethernet(frame6).SetDst(ours)
			f()
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// segment4 makes frame a SYN to the tarpit, in place.
func segment4(frame []byte) []byte {
	wire.PutIPv4(frame[wire.EthernetLen:], wire.ProtoTCP, client, lure, wire.TCPLen)
	wire.PutTCP(frame[34:], client, lure, 1, 22, 0, 0, wire.FlagSYN, 1)
	return frame
}

// FuzzProcess feeds any frame: nothing panics, and what goes out is well-formed.
func FuzzProcess(f *testing.F) {
	for _, frame := range [][]byte{
		segment(client, web, 1, 80, wire.FlagSYN), segment(client6, web6, 1, 80, 0), datagram(client, all, 1, 2),
		fragmented(datagram(client, all, 1, 2), 5, 0, true), segment(client, lure, 1, 22, wire.FlagSYN),
		request(clientMAC, client, web), solicitation(client6, web6), reply(at(1).addr, macOf(1)),
	} {
		f.Add(frame)
	}
	b := newBoard(f, 3)
	f.Fuzz(func(t *testing.T, data []byte) {
		b.t = t
		frame := room(len(data))
		copy(frame, data)
		if len(frame) >= 6 {
			copy(frame, ours[:]) // or few would get far
		}
		v, out := b.Process(b.tables, frame, 0)
		if (out != nil) != (v == Forwarded || v == Answered) {
			t.Fatalf("verdict %d with %d bytes to send", v, len(out))
		}
		if out == nil {
			return
		}
		var p wire.Packet
		if err := wire.Decode(out, &p); err != nil || wire.Ethernet(out).Src() != ours || wire.Ethernet(out).Dst() == ours {
			t.Fatalf("sends %x: %v", out, err)
		}
		if v == Forwarded && !bytes.Equal(out[12:], data[12:]) {
			t.Fatal("more than the addresses was changed")
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	bd := newBoard(b, 3)
	frame := segment(client, web, 1, 80, 0)
	b.Run("flow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wire.Ethernet(frame).SetSrc(clientMAC)
			wire.Ethernet(frame).SetDst(ours)
			bd.Forwarder.Process(bd.tables, frame, 0, 0)
		}
	})
}
