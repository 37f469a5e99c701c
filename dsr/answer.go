package dsr

import "github.com/penlb/pen/dsr/wire"

// arp answers a request for a VIP or a tarpit with our address, and takes note of answers to our own requests.
func (f *Forwarder) arp(t *tables, frame []byte, at int) (Verdict, []byte) {
	a := wire.ARP(frame[at:])
	if !a.Valid() {
		return DropTruncated, nil
	}
	sender, target := a.Sender(), a.Target()
	if a.Op() == wire.ARPReply {
		// Only what is sent to us: else anybody could lead the flows of a server astray by telling everybody.
		if a.TargetMAC() != t.mac || wire.Ethernet(frame).Dst() != t.mac || a.SenderMAC().Group() {
			return DropOther, nil
		}
		f.heard = neighbour{sender, a.SenderMAC()}
		return Heard, nil
	}
	asker := a.SenderMAC()
	if asker == t.mac {
		return DropLoop, nil // the frame came from another, who would have us talk to ourselves
	}
	if a.Op() != wire.ARPRequest || asker.Group() || sender == target {
		return DropOther, nil // who announces itself asks nothing
	}
	if _, ok := t.vips[vipKey{Addr: target, Proto: anyOf}]; !ok {
		// Who asks before it takes an address itself (RFC 5227) may have it.
		if sender.Unspecified() || !t.lures(&target) {
			return DropOther, nil
		}
	}
	wire.PutARP(a, wire.ARPReply, t.mac, target, asker, sender)
	eth := wire.Ethernet(frame)
	eth.SetDst(asker)
	eth.SetSrc(t.mac)
	return Answered, frame
}

// solicited is arp for IPv6.
func (f *Forwarder) solicited(t *tables, frame []byte, p *wire.Packet, nd wire.ND) (Verdict, []byte) {
	target := nd.Target()
	eth := wire.Ethernet(frame)
	if nd.Type() == wire.ICMPv6Advertise {
		mac, ok := nd.LinkAddr()
		if !ok {
			mac = eth.Src() // an answer to one asker may leave it out (RFC 4861, 4.4)
		}
		if !nd.Solicited() || eth.Dst() != t.mac || mac.Group() {
			return DropOther, nil
		}
		f.heard = neighbour{target, mac}
		return Heard, nil
	}
	if _, ok := t.vips[vipKey{Addr: target, Proto: anyOf}]; !ok {
		// Who asks before it takes an address itself (RFC 4862, 5.4) may have it.
		if p.Src.Unspecified() || !t.lures(&target) {
			return DropOther, nil
		}
	}
	const length = wire.NDLen + wire.LinkAddrLen
	size := p.L3 + wire.IPv6Len + length
	if cap(frame) < size || eth.Src().Group() {
		return DropOther, nil
	}
	// Who is about to take the address has none yet, and is told with everybody else (RFC 4861, 7.2.4).
	asker, mac, one := p.Src, eth.Src(), true
	if asker.Unspecified() {
		asker, one = wire.AllNodes, false
		mac = wire.MulticastMAC(&asker)
	}
	frame = frame[:size]
	eth.SetDst(mac)
	eth.SetSrc(t.mac)
	wire.PutIPv6(frame[p.L3:], wire.ProtoICMPv6, 255, target, asker, length)
	wire.PutND(frame[p.L3+wire.IPv6Len:], wire.ICMPv6Advertise, one, target, asker, target, t.mac)
	return Answered, frame
}

// Frames of our own, written to b, which is long enough for each of them.
const ownFrame = wire.EthernetLen + wire.IPv6Len + wire.NDLen + wire.LinkAddrLen

// ask writes the question for a server to b. from is the address of ours that asks, unspecified if we have none. The
// question goes to mac, or to everybody who may be meant if mac is zero.
func ask(b []byte, ours wire.MAC, from, whom wire.Addr, mac wire.MAC) []byte {
	everybody := mac == wire.MAC{}
	if whom.Is4() {
		if everybody {
			mac = wire.Broadcast
		}
		b = b[:wire.EthernetLen+wire.ARPLen]
		wire.PutEthernet(b, mac, ours, wire.TypeARP)
		wire.PutARP(b[wire.EthernetLen:], wire.ARPRequest, ours, from, wire.MAC{}, whom)
		return b
	}
	dst := whom
	if everybody {
		dst = whom.SolicitedNode()
		mac = wire.MulticastMAC(&dst)
	}
	return putND(b, mac, ours, wire.ICMPv6Solicit, from, dst, whom)
}

// announce writes the news that vip is here now to b, for everybody on the link.
func announce(b []byte, ours wire.MAC, vip wire.Addr) []byte {
	if vip.Is4() {
		b = b[:wire.EthernetLen+wire.ARPLen]
		wire.PutEthernet(b, wire.Broadcast, ours, wire.TypeARP)
		wire.PutARP(b[wire.EthernetLen:], wire.ARPRequest, ours, vip, wire.MAC{}, vip) // RFC 5227, 2.3
		return b
	}
	dst := wire.AllNodes
	return putND(b, wire.MulticastMAC(&dst), ours, wire.ICMPv6Advertise, vip, dst, vip)
}

func putND(b []byte, mac, ours wire.MAC, kind uint8, src, dst, target wire.Addr) []byte {
	b = b[:ownFrame]
	wire.PutEthernet(b, mac, ours, wire.TypeIPv6)
	wire.PutIPv6(b[wire.EthernetLen:], wire.ProtoICMPv6, 255, src, dst, wire.NDLen+wire.LinkAddrLen)
	wire.PutND(b[wire.EthernetLen+wire.IPv6Len:], kind, false, src, dst, target, ours)
	return b
}
