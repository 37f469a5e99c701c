package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// gopacket is the second opinion: it builds what Decode reads, and reads what the Put functions write.

var (
	macA, macB = MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 2}
	a4, b4     = AddrFrom(netip.MustParseAddr("10.1.2.3")), AddrFrom(netip.MustParseAddr("192.0.2.7"))
	a6, b6     = AddrFrom(netip.MustParseAddr("2001:db8::3")), AddrFrom(netip.MustParseAddr("2001:db8:1::7"))
)

func build(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range list {
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.ICMPv6:
			l.SetNetworkLayerForChecksum(network)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func ether(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{DstMAC: macA[:], SrcMAC: macB[:], EthernetType: kind}
}

func ip4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 9, Protocol: proto, SrcIP: a4.Bytes(), DstIP: b4.Bytes()}
}

func ip6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: next, SrcIP: a6[:], DstIP: b6[:]}
}

func tcp() *layers.TCP {
	return &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: 77, SYN: true, Window: 99,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}}
}

func udp() *layers.UDP { return &layers.UDP{SrcPort: 1234, DstPort: 53} }

// Extension headers of IPv6 that gopacket does not write.
func extension(next, units byte) gopacket.Payload {
	b := make([]byte, 8*(int(units)+1))
	b[0], b[1] = next, units
	return b
}

func authentication(next byte) gopacket.Payload {
	b := make([]byte, 24)
	b[0], b[1] = next, 24/4-2
	return b
}

func fragment(next byte, offset uint16, more bool, id uint32) gopacket.Payload {
	b := make([]byte, 8)
	b[0] = next
	binary.BigEndian.PutUint16(b[2:], offset<<3)
	if more {
		b[3] |= 1
	}
	binary.BigEndian.PutUint32(b[4:], id)
	return b
}

// bareUDP is a header with data behind an extension header or in a fragment; nobody looks at its checksum.
func bareUDP(data int) gopacket.Payload {
	b := make([]byte, UDPLen+data)
	binary.BigEndian.PutUint16(b, 1234)
	binary.BigEndian.PutUint16(b[2:], 53)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func frames(t testing.TB) map[string][]byte {
	options := ip4(layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	first, later := ip4(layers.IPProtocolUDP), ip4(layers.IPProtocolUDP)
	first.Flags, first.Id = layers.IPv4MoreFragments, 42
	later.FragOffset, later.Id = 3, 42
	tag := &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}
	data := gopacket.Payload("some bytes")
	quoted := build(t, ip4(layers.IPProtocolTCP), tcp())[:IPv4Len+8]
	quoted6 := build(t, ip6(layers.IPProtocolTCP), tcp())
	return map[string][]byte{
		"arp": build(t, ether(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: 1, SourceHwAddress: macA[:], SourceProtAddress: a4.Bytes(),
			DstHwAddress: make([]byte, 6), DstProtAddress: b4.Bytes()}),
		"tcp4":       build(t, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), tcp(), data),
		"options":    build(t, ether(layers.EthernetTypeIPv4), options, tcp(), data),
		"udp4":       build(t, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp(), data),
		"padded":     append(build(t, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp()), make([]byte, 18)...),
		"first":      build(t, ether(layers.EthernetTypeIPv4), first, bareUDP(8)),
		"later":      build(t, ether(layers.EthernetTypeIPv4), later, data),
		"vlan":       build(t, ether(layers.EthernetTypeDot1Q), tag, ip4(layers.IPProtocolTCP), tcp()),
		"qinq":       build(t, ether(layers.EthernetTypeQinQ), &layers.Dot1Q{Type: layers.EthernetTypeDot1Q}, tag, ip4(layers.IPProtocolTCP), tcp()),
		"echo4":      build(t, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, data),
		"toobig4":    build(t, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4)}, gopacket.Payload(quoted)),
		"tcp6":       build(t, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), tcp(), data),
		"udp6":       build(t, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(), data),
		"extensions": build(t, ether(layers.EthernetTypeIPv6), ip6(ProtoHopByHop), extension(ProtoDestination, 0), extension(ProtoRouting, 2), extension(ProtoAuth, 0), authentication(ProtoUDP), bareUDP(3)),
		"first6":     build(t, ether(layers.EthernetTypeIPv6), ip6(ProtoFragment), fragment(ProtoUDP, 0, true, 0x01020304), bareUDP(8)),
		"later6":     build(t, ether(layers.EthernetTypeIPv6), ip6(ProtoFragment), fragment(ProtoUDP, 4, false, 0x01020304), data),
		"atomic6":    build(t, ether(layers.EthernetTypeIPv6), ip6(ProtoFragment), fragment(ProtoUDP, 0, false, 9), bareUDP(8)),
		"toobig6":    build(t, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}, gopacket.Payload(make([]byte, 4)), gopacket.Payload(quoted6)),
		"solicit": build(t, ether(layers.EthernetTypeIPv6), &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: a6[:], DstIP: b6[:]},
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(135, 0)},
			&layers.ICMPv6NeighborSolicitation{TargetAddress: b6[:], Options: layers.ICMPv6Options{{Type: 1, Data: macB[:]}}}),
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	in4 := Packet{Type: TypeIPv4, L3: 14, Src: a4, Dst: b4, L4: 34}
	in6 := Packet{Type: TypeIPv6, L3: 14, Src: a6, Dst: b6, L4: 54, HopLimit: 9}
	with := func(p Packet, f func(*Packet)) Packet { f(&p); return p }
	asTCP := func(p *Packet) { p.Proto, p.SrcPort, p.DstPort, p.Flags = ProtoTCP, 1234, 80, FlagSYN }
	asUDP := func(p *Packet) { p.Proto, p.SrcPort, p.DstPort = ProtoUDP, 1234, 53 }
	want := map[string]Packet{
		"arp":     {Type: TypeARP, L3: 14},
		"tcp4":    with(in4, func(p *Packet) { asTCP(p); p.End = 34 + 24 + 10 }),
		"options": with(in4, func(p *Packet) { asTCP(p); p.L4 = 38; p.End = 38 + 24 + 10 }),
		"udp4":    with(in4, func(p *Packet) { asUDP(p); p.End = 34 + 18 }),
		"padded":  with(in4, func(p *Packet) { asUDP(p); p.End = 34 + 8 }),
		"first":   with(in4, func(p *Packet) { asUDP(p); p.Fragment, p.FragmentID, p.End = true, 42, 34+16 }),
		"later": with(in4, func(p *Packet) {
			p.Proto, p.Fragment, p.Later, p.FragmentID, p.End = ProtoUDP, true, true, 42, 34+10
		}),
		"vlan":       with(in4, func(p *Packet) { asTCP(p); p.L3, p.L4, p.End = 18, 38, 38+24 }),
		"qinq":       with(in4, func(p *Packet) { asTCP(p); p.L3, p.L4, p.End = 22, 42, 42+24 }),
		"echo4":      with(in4, func(p *Packet) { p.Proto, p.End = ProtoICMP, 34+8+10 }),
		"toobig4":    with(in4, func(p *Packet) { p.Proto, p.End = ProtoICMP, 34+8+28 }),
		"tcp6":       with(in6, func(p *Packet) { asTCP(p); p.End = 54 + 24 + 10 }),
		"udp6":       with(in6, func(p *Packet) { asUDP(p); p.End = 54 + 18 }),
		"extensions": with(in6, func(p *Packet) { asUDP(p); p.L4 = 54 + 8 + 8 + 24 + 24; p.End = p.L4 + 11 }),
		"first6":     with(in6, func(p *Packet) { asUDP(p); p.Fragment, p.FragmentID, p.L4, p.End = true, 0x01020304, 62, 62+16 }),
		"later6": with(in6, func(p *Packet) {
			p.Proto, p.Fragment, p.Later, p.FragmentID, p.L4, p.End = ProtoUDP, true, true, 0x01020304, 62, 72
		}),
		"atomic6": with(in6, func(p *Packet) { asUDP(p); p.FragmentID, p.L4, p.End = 9, 62, 62+16 }),
		"toobig6": with(in6, func(p *Packet) { p.Proto, p.End = ProtoICMPv6, 54+8+40+24 }),
		"solicit": with(in6, func(p *Packet) { p.Proto, p.HopLimit, p.End = ProtoICMPv6, 255, 54+32 }),
	}
	for name, frame := range frames(t) {
		var p Packet
		if err := Decode(frame, &p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want[name], p); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		// Cut anywhere, it is never taken for whole, and nothing panics.
		for n := range len(frame) {
			err := Decode(frame[:n], &p)
			if end := want[name].End; n < end && err == nil {
				t.Errorf("%s cut to %d of %d bytes passes", name, n, end)
			}
		}
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	list := frames(t)
	for _, name := range []string{"toobig4", "toobig6"} {
		var p, q Packet
		if err := Decode(list[name], &p); err != nil || !p.Quoted(list[name], &q) {
			t.Fatalf("%s: quotes nothing, %v", name, err)
		}
		if q.SrcPort != 1234 || q.DstPort != 80 || q.Proto != ProtoTCP || q.Src != p.Src || q.Dst != p.Dst {
			t.Errorf("%s: quotes %+v", name, q)
		}
	}
	for _, name := range []string{"echo4", "tcp4", "later", "solicit"} {
		var p, q Packet
		if err := Decode(list[name], &p); err != nil || p.Quoted(list[name], &q) {
			t.Errorf("%s: quotes %+v, %v", name, q, err)
		}
	}
}

func TestNeighbour(t *testing.T) {
	t.Parallel()
	frame := frames(t)["solicit"]
	var p Packet
	if err := Decode(frame, &p); err != nil {
		t.Fatal(err)
	}
	nd := p.Neighbour(frame)
	if nd == nil || nd.Type() != ICMPv6Solicit || nd.Target() != b6 {
		t.Fatalf("solicitation is %x", nd)
	}
	if m, ok := nd.LinkAddr(); !ok || m != macB {
		t.Errorf("link address %v %v", m, ok)
	}
	for at, what := range map[int]string{14 + 7: "hop limit", 54 + 2: "checksum", 54 + 1: "code", 54: "type"} {
		bad := bytes.Clone(frame)
		bad[at]++
		if err := Decode(bad, &p); err != nil {
			t.Fatal(err)
		}
		if p.Neighbour(bad) != nil {
			t.Errorf("believed with a wrong %s", what)
		}
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	b := make([]byte, 200)
	for i := range b {
		b[i] = 0xaa // what was there before must not show through
	}
	check := func(name string, n int, list ...gopacket.SerializableLayer) {
		t.Helper()
		if diff := cmp.Diff(build(t, list...)[:n], b[:n]); diff != "" { // short frames are padded there
			t.Errorf("%s: %s", name, diff)
		}
	}
	PutEthernet(b, macA, macB, TypeARP)
	PutARP(b[14:], ARPReply, macA, a4, macB, b4)
	check("arp", 14+ARPLen, ether(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: 2, SourceHwAddress: macA[:], SourceProtAddress: a4.Bytes(),
		DstHwAddress: macB[:], DstProtAddress: b4.Bytes()})

	PutEthernet(b, macA, macB, TypeIPv4)
	PutIPv4(b[14:], ProtoTCP, a4, b4, TCPLen)
	PutTCP(b[34:], a4, b4, 80, 1234, 7, 8, FlagSYN|FlagACK, 5)
	four := ip4(layers.IPProtocolTCP)
	four.TTL, four.Flags = 64, layers.IPv4DontFragment
	check("tcp", 54, ether(layers.EthernetTypeIPv4), four,
		&layers.TCP{SrcPort: 80, DstPort: 1234, Seq: 7, Ack: 8, SYN: true, ACK: true, Window: 5})

	for _, kind := range []uint8{ICMPv6Solicit, ICMPv6Advertise} {
		PutEthernet(b, macA, macB, TypeIPv6)
		PutIPv6(b[14:], ProtoICMPv6, 255, a6, b6, NDLen+LinkAddrLen)
		PutND(b[54:], kind, true, a6, b6, a6, macB)
		six := ip6(layers.IPProtocolICMPv6)
		six.HopLimit = 255
		var nd gopacket.SerializableLayer = &layers.ICMPv6NeighborSolicitation{TargetAddress: a6[:],
			Options: layers.ICMPv6Options{{Type: 1, Data: macB[:]}}}
		if kind == ICMPv6Advertise {
			nd = &layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: a6[:],
				Options: layers.ICMPv6Options{{Type: 2, Data: macB[:]}}}
		}
		check("nd", 54+NDLen+LinkAddrLen, ether(layers.EthernetTypeIPv6), six,
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, nd)
	}
}

// FuzzDecode compares with gopacket whatever both take.
func FuzzDecode(f *testing.F) {
	for _, frame := range frames(f) {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		var p, q Packet
		err := Decode(frame, &p)
		if err != nil || p.End == 0 {
			return
		}
		p.Quoted(frame, &q)
		if nd := p.Neighbour(frame); nd != nil {
			nd.LinkAddr()
		}
		p.Echo(frame)
		if !bytes.Equal(frame, before) {
			t.Fatal("frame was changed")
		}
		if p.L4 > p.End || p.End > len(frame) || p.L3 >= p.L4 {
			t.Fatalf("offsets %d %d %d in %d bytes", p.L3, p.L4, p.End, len(frame))
		}
		other := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
		switch l := other.NetworkLayer().(type) {
		case *layers.IPv4:
			same(t, &p, l.SrcIP, l.DstIP)
			if p.Proto != uint8(l.Protocol) || p.Later != (l.FragOffset != 0) {
				t.Errorf("protocol %d later %v, gopacket %v", p.Proto, p.Later, l)
			}
		case *layers.IPv6:
			same(t, &p, l.SrcIP, l.DstIP)
		}
		if p.Fragment || p.Type == TypeIPv6 && p.L4 != p.L3+IPv6Len {
			return // gopacket does not look into fragments, nor behind all extension headers
		}
		switch l := other.TransportLayer().(type) {
		case *layers.TCP:
			if p.Proto == ProtoTCP && (p.SrcPort != uint16(l.SrcPort) || p.DstPort != uint16(l.DstPort) || p.Flags&FlagSYN != 0 != l.SYN) {
				t.Errorf("%+v, gopacket %v", p, l)
			}
		case *layers.UDP:
			if p.Proto == ProtoUDP && (p.SrcPort != uint16(l.SrcPort) || p.DstPort != uint16(l.DstPort)) {
				t.Errorf("%+v, gopacket %v", p, l)
			}
		}
	})
}

func same(t *testing.T, p *Packet, src, dst net.IP) {
	t.Helper()
	if !bytes.Equal(p.Src.Bytes(), src) && !bytes.Equal(p.Src[:], src.To16()) || !bytes.Equal(p.Dst[:], dst.To16()) {
		t.Errorf("%v to %v, gopacket %v to %v", p.Src, p.Dst, src, dst)
	}
}
