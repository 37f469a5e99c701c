package dsr

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
)

func request(mac wire.MAC, sender, target wire.Addr) []byte {
	frame := room(wire.EthernetLen + wire.ARPLen)
	wire.PutEthernet(frame, wire.Broadcast, mac, wire.TypeARP)
	wire.PutARP(frame[wire.EthernetLen:], wire.ARPRequest, mac, sender, wire.MAC{}, target)
	return frame
}

func reply(sender wire.Addr, mac wire.MAC) []byte {
	frame := room(wire.EthernetLen + wire.ARPLen)
	wire.PutEthernet(frame, ours, mac, wire.TypeARP)
	wire.PutARP(frame[wire.EthernetLen:], wire.ARPReply, mac, sender, ours, ip("10.9.0.99"))
	return frame
}

func solicitation(sender, target wire.Addr) []byte {
	frame := room(ownFrame)
	dst := target.SolicitedNode()
	putND(frame, wire.MulticastMAC(&dst), clientMAC, wire.ICMPv6Solicit, sender, dst, target)
	return frame
}

func advertisement(target wire.Addr, mac wire.MAC) []byte {
	frame := room(ownFrame)
	wire.PutEthernet(frame, ours, mac, wire.TypeIPv6)
	us := ip("fd09::99")
	wire.PutIPv6(frame[wire.EthernetLen:], wire.ProtoICMPv6, 255, target, us, wire.NDLen+wire.LinkAddrLen)
	wire.PutND(frame[wire.EthernetLen+wire.IPv6Len:], wire.ICMPv6Advertise, true, target, us, target, mac)
	return frame
}

func TestARP(t *testing.T) {
	t.Parallel()
	own := at(1).addr
	tests := []struct {
		name           string
		sender, target wire.Addr
		want           Verdict
	}{
		{"who has the VIP", client, web, Answered},
		{"who is about to take the VIP", ip("0.0.0.0"), web, Answered},
		{"who has an address of the tarpit", client, lure, Answered},
		{"who is about to take an address of the tarpit", ip("0.0.0.0"), lure, DropOther},
		{"who has a server", client, own, DropOther},
		{"who has something else", client, ip("10.8.0.1"), DropOther},
		{"who announces the VIP", web, web, DropOther},
		{"who announces an address of the tarpit", lure, lure, DropOther},
	}
	b := newBoard(t, 2)
	for _, tt := range tests {
		v, out := b.Process(b.tables, request(clientMAC, tt.sender, tt.target), 0)
		if v != tt.want {
			t.Errorf("%s: verdict %d %s", tt.name, v, causes[v])
			continue
		}
		if v != Answered {
			continue
		}
		a := wire.ARP(out[wire.EthernetLen:])
		if a.Op() != wire.ARPReply || a.Sender() != tt.target || a.SenderMAC() != ours || a.Target() != tt.sender ||
			a.TargetMAC() != clientMAC || wire.Ethernet(out).Dst() != clientMAC || wire.Ethernet(out).Src() != ours {
			t.Errorf("%s: answer %x", tt.name, out)
		}
	}
	short := request(clientMAC, client, web)[:30]
	b.want(DropTruncated, short)
	b.want(DropOther, request(wire.Broadcast, client, web))
}

func TestWhatIsHeard(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 2)
	b.want(Heard, reply(at(2).addr, macOf(7)))
	if d := cmp.Diff(neighbour{at(2).addr, macOf(7)}, b.heard, cmp.AllowUnexported(neighbour{})); d != "" {
		t.Error(d)
	}
	b.want(Heard, advertisement(ip("fd09::5"), macOf(8)))
	if d := cmp.Diff(neighbour{ip("fd09::5"), macOf(8)}, b.heard, cmp.AllowUnexported(neighbour{})); d != "" {
		t.Error(d)
	}
	for name, frame := range map[string][]byte{
		"told to everybody": change(reply(at(2).addr, macOf(7)), func(f wire.Ethernet) { f.SetDst(wire.Broadcast) }),
		"meant for another": change(reply(at(2).addr, macOf(7)), func(f wire.Ethernet) { copy(f[32:], clientMAC[:]) }),
		"a group's address": reply(at(2).addr, wire.MAC{1, 2, 3}),
		"not an answer":     announce(room(ownFrame), clientMAC, ip("fd09::5")),
	} {
		if v, _ := b.Process(b.tables, frame, 0); v == Heard {
			t.Errorf("%s: believed", name)
		}
	}
}

func TestNeighbourDiscovery(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 1)
	for _, asker := range []wire.Addr{client6, ip("::")} {
		frame := solicitation(asker, web6)
		out := b.want(Answered, frame)
		var p wire.Packet
		if err := wire.Decode(out, &p); err != nil {
			t.Fatal(err)
		}
		nd := p.Neighbour(out)
		mac, _ := nd.LinkAddr()
		if nd == nil || nd.Type() != wire.ICMPv6Advertise || nd.Target() != web6 || mac != ours || p.Src != web6 {
			t.Fatalf("answer %x", out)
		}
		to, toMAC := asker, clientMAC
		if asker.Unspecified() {
			to = wire.AllNodes
			toMAC = wire.MulticastMAC(&to)
		}
		if p.Dst != to || wire.Ethernet(out).Dst() != toMAC || nd.Solicited() == asker.Unspecified() {
			t.Errorf("answer to %v at %v", p.Dst, wire.Ethernet(out).Dst())
		}
	}
	b.want(DropOther, solicitation(client6, ip("fd09::200:2")))
	// One without the option of its sender is shorter than the answer, and needs room behind it.
	for _, spare := range []int{wire.LinkAddrLen, wire.LinkAddrLen - 1} {
		const length = ownFrame - wire.LinkAddrLen
		frame := solicitation(client6, web6)[: length : length+spare]
		frame[19] = wire.NDLen
		h, dst := frame[wire.EthernetLen+wire.IPv6Len:], web6.SolicitedNode()
		h[2], h[3] = 0, 0
		binary.BigEndian.PutUint16(h[2:], wire.Fold(wire.Sum(wire.PseudoSum(&client6, &dst, wire.ProtoICMPv6, wire.NDLen), h)))
		want := map[bool]Verdict{true: Answered, false: DropOther}[spare == wire.LinkAddrLen]
		b.want(want, frame)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	b := make([]byte, ownFrame)
	us, us6 := ip("10.9.0.99"), ip("fd09::99")
	frame := ask(b, ours, us, at(1).addr, wire.MAC{})
	a := wire.ARP(frame[wire.EthernetLen:])
	if !a.Valid() || a.Op() != wire.ARPRequest || a.Sender() != us || a.Target() != at(1).addr || wire.Ethernet(frame).Dst() != wire.Broadcast {
		t.Errorf("question %x", frame)
	}
	if frame = ask(b, ours, us, at(1).addr, macOf(1)); wire.Ethernet(frame).Dst() != macOf(1) {
		t.Errorf("question to one goes to %v", wire.Ethernet(frame).Dst())
	}
	target := ip("fd09::7:8")
	for _, mac := range []wire.MAC{{}, macOf(1)} {
		frame = ask(b, ours, us6, target, mac)
		var p wire.Packet
		if err := wire.Decode(frame, &p); err != nil {
			t.Fatal(err)
		}
		nd := p.Neighbour(frame)
		if nd == nil || nd.Type() != wire.ICMPv6Solicit || nd.Target() != target || p.Src != us6 {
			t.Fatalf("question %x", frame)
		}
		if all := p.Dst == target.SolicitedNode(); all != (mac == wire.MAC{}) {
			t.Errorf("question to %v", p.Dst)
		}
	}
	frame = announce(b, ours, web)
	if a := wire.ARP(frame[wire.EthernetLen:]); a.Sender() != web || a.Target() != web || wire.Ethernet(frame).Dst() != wire.Broadcast {
		t.Errorf("announcement %x", frame)
	}
	frame = announce(b, ours, web6)
	var p wire.Packet
	if err := wire.Decode(frame, &p); err != nil || p.Dst != wire.AllNodes || p.Neighbour(frame).Target() != web6 {
		t.Errorf("announcement %x, %v", frame, err)
	}
}

func TestTrap(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 1)
	syn := func(from, to wire.Addr) []byte { return segment(from, to, 5555, 22, wire.FlagSYN) }
	out := b.want(Answered, syn(client, lure))
	var p wire.Packet
	if err := wire.Decode(out, &p); err != nil {
		t.Fatal(err)
	}
	tcp := out[p.L4:p.End]
	if p.Src != lure || p.Dst != client || p.SrcPort != 22 || p.DstPort != 5555 || p.Flags != wire.FlagSYN|wire.FlagACK ||
		len(tcp) != wire.TCPLen || wire.Ethernet(out).Dst() != clientMAC || wire.Ethernet(out).Src() != ours {
		t.Errorf("answer %x", out)
	}
	if sum := wire.Fold(wire.Sum(wire.PseudoSum(&p.Src, &p.Dst, wire.ProtoTCP, len(tcp)), tcp)); sum != 0 {
		t.Errorf("checksum is off by %#x", sum)
	}
	if ack := uint32(tcp[8])<<24 | uint32(tcp[9])<<16 | uint32(tcp[10])<<8 | uint32(tcp[11]); ack != 1001 {
		t.Errorf("acknowledges %d, want 1001", ack)
	}
	if want := (offence{client, lure, 22}); b.offender != want {
		t.Errorf("offender %v", b.offender)
	}
	b.want(DropOther, segment(client, lure, 5555, 22, wire.FlagACK))
	b.want(DropOther, segment(client, lure, 5555, 22, wire.FlagSYN|wire.FlagACK))
	b.want(DropOther, syn(client, at(1).addr))
	b.want(DropOther, syn(client, ip("10.8.0.1")))
	b.want(DropOther, segment(client, web, 5555, 81, wire.FlagSYN))
	b.config.Tarpit = nil
	b.remake()
	b.want(DropOther, syn(client, lure))
}

func TestTrapOfIPv6(t *testing.T) {
	t.Parallel()
	b := newBoard(t, 1)
	lure6 := ip("fd09::250:1")
	syn := func() []byte { return segment(client6, lure6, 5555, 22, wire.FlagSYN) }
	b.want(DropOther, syn()) // nobody has asked for it
	b.want(DropOther, solicitation(client6, lure6))
	b.config.Tarpit6, b.config.Tarpit = true, func(a netip.Addr) bool { return a == lure6.Netip() }
	b.remake()
	b.want(DropOther, solicitation(ip("::"), lure6)) // who is about to take it
	b.want(DropOther, solicitation(client6, ip("fd09::250:2")))
	out := b.want(Answered, solicitation(client6, lure6))
	var p wire.Packet
	if err := wire.Decode(out, &p); err != nil || p.Neighbour(out) == nil || p.Neighbour(out).Target() != lure6 {
		t.Fatalf("answer %x, %v", out, err)
	}
	if out = b.want(Answered, syn()); wire.Decode(out, &p) != nil {
		t.Fatalf("answer %x", out)
	}
	tcp := out[p.L4:p.End]
	if p.Src != lure6 || p.Dst != client6 || p.SrcPort != 22 || p.DstPort != 5555 || p.Flags != wire.FlagSYN|wire.FlagACK ||
		len(tcp) != wire.TCPLen || p.HopLimit != trapHops || wire.Ethernet(out).Dst() != clientMAC {
		t.Errorf("answer %x", out)
	}
	if sum := wire.Fold(wire.Sum(wire.PseudoSum(&p.Src, &p.Dst, wire.ProtoTCP, len(tcp)), tcp)); sum != 0 {
		t.Errorf("checksum is off by %#x", sum)
	}
	if want := (offence{client6, lure6, 22}); b.offender != want {
		t.Errorf("offender %v", b.offender)
	}
	b.want(DropOther, segment(client6, lure6, 5555, 22, wire.FlagACK))
	b.want(DropOther, segment(client6, web6, 5555, 81, wire.FlagSYN))
}

func TestTrapIsLimited(t *testing.T) {
	t.Parallel()
	var p pit
	const start = 100 * second
	count := func(from wire.Addr, n int, now int64) (answers, reports int) {
		for range n {
			ok, report := p.admit(&from, now)
			if ok {
				answers++
			}
			if report {
				reports++
			}
		}
		return answers, reports
	}
	for i, tt := range []struct {
		after            time.Duration
		answers, reports int
	}{{0, trapsPerSource, 1}, {time.Second, trapsPerSource, 0}, {time.Minute, trapsPerSource, 1}} {
		if a, r := count(client, 100, start+int64(tt.after)); a != tt.answers || r != tt.reports {
			t.Errorf("step %d: %d answers, %d reports", i, a, r)
		}
	}
	answers, reports := 0, 0
	for i := range 10 * trapsPerSecond {
		a, r := count(host(i), 1, 2*start)
		answers, reports = answers+a, reports+r
	}
	if answers != trapsPerSecond || reports != reportsPerSec {
		t.Errorf("a flood from everywhere: %d answers, %d reports", answers, reports)
	}
}
