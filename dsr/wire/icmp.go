package wire

import "encoding/binary"

// Types of ICMP and ICMPv6 messages.
const (
	ICMPUnreachable   = 3
	ICMPTooBig        = 4 // code of ICMPUnreachable: fragmentation is needed, but not allowed
	ICMPEcho          = 8
	ICMPTimeExceeded  = 11
	ICMPParameter     = 12
	ICMPv6TooBig      = 2
	ICMPv6Echo        = 128
	ICMPv6Solicit     = 135 // neighbour solicitation
	ICMPv6Advertise   = 136 // neighbour advertisement
	icmpv6ErrorsBelow = 128
)

// Options of neighbour discovery.
const (
	optionSource = 1
	optionTarget = 2
)

// ndHopLimit shows that a message has not come through a router (RFC 4861, 7.1).
const ndHopLimit = 255

// Quoted decodes the packet that an ICMP error quotes, as far as it is there, into q and reports whether p is such an
// error. frame is what p was decoded from. Offsets in q are relative to the quoted packet.
func (p *Packet) Quoted(frame []byte, q *Packet) bool {
	*q = Packet{}
	if p.Later || p.End-p.L4 < ICMPLen {
		return false
	}
	b := frame[p.L4:p.End]
	var err error
	switch {
	case p.Proto == ProtoICMP && (b[0] == ICMPUnreachable || b[0] == ICMPTimeExceeded || b[0] == ICMPParameter):
		err = q.decodeIPv4(b[ICMPLen:], true)
	case p.Proto == ProtoICMPv6 && b[0] < icmpv6ErrorsBelow:
		err = q.decodeIPv6(b[ICMPLen:], true)
	default:
		return false
	}
	return err == nil && q.ports(b[ICMPLen:], true) == nil
}

// ND is a neighbour solicitation or advertisement of at least NDLen bytes, with its options.
type ND []byte

// Neighbour returns the message that p carries, or nil if it is none that may be believed. frame is what p was decoded
// from.
func (p *Packet) Neighbour(frame []byte) ND {
	if p.Proto != ProtoICMPv6 || p.Fragment || p.HopLimit != ndHopLimit || p.End-p.L4 < NDLen {
		return nil
	}
	b := frame[p.L4:p.End]
	if b[0] != ICMPv6Solicit && b[0] != ICMPv6Advertise || b[1] != 0 {
		return nil
	}
	if Fold(Sum(PseudoSum(&p.Src, &p.Dst, ProtoICMPv6, len(b)), b)) != 0 {
		return nil
	}
	return ND(b)
}

// Type is ICMPv6Solicit or ICMPv6Advertise.
func (n ND) Type() uint8 { return n[0] }

// Solicited reports whether an advertisement is an answer.
func (n ND) Solicited() bool { return n[4]&0x40 != 0 }

// Target is the address that is asked for or advertised.
func (n ND) Target() Addr { return Addr(n[8:24]) }

// LinkAddr is the Ethernet address in the options: of the sender of a solicitation, of the target of an advertisement.
func (n ND) LinkAddr() (m MAC, ok bool) {
	want := byte(optionTarget)
	if n.Type() == ICMPv6Solicit {
		want = optionSource
	}
	for o := n[NDLen:]; len(o) >= 8; {
		length := int(o[1]) * 8
		if length == 0 || length > len(o) {
			break
		}
		if o[0] == want && length == LinkAddrLen {
			return MAC(o[2:8]), true
		}
		o = o[length:]
	}
	return MAC{}, false
}

// PutND writes a message with its link address option and checksum to b, which holds NDLen + LinkAddrLen bytes.
// solicited is for advertisements: they are then an answer, to one asker.
func PutND(b []byte, kind uint8, solicited bool, src, dst, target Addr, mac MAC) {
	const length = NDLen + LinkAddrLen
	_ = b[length-1]
	clear(b[:8])
	b[0] = kind
	option := byte(optionSource)
	if kind == ICMPv6Advertise {
		option = optionTarget
		b[4] = 0x20 // override
		if solicited {
			b[4] |= 0x40
		}
	}
	*(*Addr)(b[8:]) = target
	b[24], b[25] = option, 1
	*(*MAC)(b[26:]) = mac
	binary.BigEndian.PutUint16(b[2:], Fold(Sum(PseudoSum(&src, &dst, ProtoICMPv6, length), b[:length])))
}

// Echo reports whether p is a request for an echo.
func (p *Packet) Echo(frame []byte) bool {
	if p.Later || p.End-p.L4 < ICMPLen {
		return false
	}
	return p.Proto == ProtoICMP && frame[p.L4] == ICMPEcho || p.Proto == ProtoICMPv6 && frame[p.L4] == ICMPv6Echo
}

// PutTooBig makes b the message of src to dst that a packet of theirs was longer than mtu, the most that goes on: ICMPLen
// bytes in front of as much of the packet as b has (RFC 1191, 4; RFC 4443, 3.2).
func PutTooBig(b []byte, src, dst Addr, mtu int) {
	_ = b[ICMPLen-1]
	clear(b[:ICMPLen])
	sum := uint64(0)
	if src.Is4() {
		b[0], b[1] = ICMPUnreachable, ICMPTooBig
		binary.BigEndian.PutUint16(b[6:], uint16(mtu))
	} else {
		b[0] = ICMPv6TooBig
		binary.BigEndian.PutUint32(b[4:], uint32(mtu))
		sum = PseudoSum(&src, &dst, ProtoICMPv6, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], Fold(Sum(sum, b)))
}
