package wire

import "encoding/binary"

// Protocol numbers, which are also the values of IPv6's next header.
const (
	ProtoHopByHop    = 0
	ProtoICMP        = 1
	ProtoIPv4        = 4 // a packet in a packet (RFC 2003, 2473)
	ProtoTCP         = 6
	ProtoUDP         = 17
	ProtoIPv6        = 41 // as ProtoIPv4
	ProtoRouting     = 43
	ProtoFragment    = 44
	ProtoAuth        = 51
	ProtoICMPv6      = 58
	ProtoNone        = 59
	ProtoDestination = 60
)

// maxExtensions bounds the walk along IPv6's extension headers. RFC 8200 has at most seven in a sensible packet.
const maxExtensions = 8

// decodeIPv4 reads the packet at b. If quoted it is the beginning of one that an ICMP message quotes: its length and
// checksum say nothing then.
func (p *Packet) decodeIPv4(b []byte, quoted bool) error {
	if len(b) < IPv4Len {
		return ErrTruncated
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || header < IPv4Len || total < header {
		return ErrLength
	}
	if len(b) < header || !quoted && len(b) < total {
		return ErrTruncated
	}
	if !quoted && Fold(Sum(0, b[:header])) != 0 {
		return ErrChecksum
	}
	p.Src, p.Dst = AddrFrom4(b[12:]), AddrFrom4(b[16:])
	p.Proto, p.L4, p.End = b[9], header, min(total, len(b))
	if f := binary.BigEndian.Uint16(b[6:]); f&0x3fff != 0 {
		p.Fragment, p.Later = true, f&0x1fff != 0
		p.FragmentID = uint32(binary.BigEndian.Uint16(b[4:]))
	}
	return nil
}

// decodeIPv6 reads the packet at b, as decodeIPv4.
func (p *Packet) decodeIPv6(b []byte, quoted bool) error {
	if len(b) < IPv6Len {
		return ErrTruncated
	}
	total := IPv6Len + int(binary.BigEndian.Uint16(b[4:]))
	if b[0]>>4 != 6 {
		return ErrLength
	}
	if !quoted && len(b) < total {
		return ErrTruncated
	}
	p.Src, p.Dst = Addr(b[8:24]), Addr(b[24:40])
	p.HopLimit = b[7]
	p.Proto, p.L4, p.End = b[6], IPv6Len, min(total, len(b))
	return p.skipExtensions(b[:p.End])
}

// skipExtensions moves L4 and Proto behind the extension headers. Behind the header of a later fragment there is no
// other header.
func (p *Packet) skipExtensions(b []byte) error {
	for range maxExtensions {
		length := 8
		switch p.Proto {
		case ProtoHopByHop, ProtoRouting, ProtoDestination, ProtoAuth, ProtoFragment:
			if len(b) < p.L4+length {
				return ErrTruncated
			}
		default:
			return nil
		}
		h := b[p.L4:]
		switch p.Proto {
		case ProtoAuth:
			length = (int(h[1]) + 2) * 4 // RFC 4302, 2.2
		case ProtoFragment:
			f := binary.BigEndian.Uint16(h[2:])
			// Offset 0 without more to come is a whole packet all the same (RFC 6946).
			p.Fragment, p.Later = f&0xfff9 != 0, f&0xfff8 != 0
			p.FragmentID = binary.BigEndian.Uint32(h[4:])
		default:
			length = (int(h[1]) + 1) * 8
		}
		if len(h) < length {
			return ErrTruncated
		}
		p.Proto, p.L4 = h[0], p.L4+length
		if p.Later {
			return nil
		}
	}
	return ErrLength
}

// PutIPv4 writes a header without options to b, for payload bytes behind it. Source and destination are IPv4.
func PutIPv4(b []byte, proto uint8, src, dst Addr, payload int) {
	_ = b[IPv4Len-1]
	clear(b[:IPv4Len])
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(IPv4Len+payload))
	b[6] = 0x40 // don't fragment: so the identification may be 0 (RFC 6864)
	b[8], b[9] = 64, proto
	copy(b[12:16], src[12:])
	copy(b[16:20], dst[12:])
	binary.BigEndian.PutUint16(b[10:], Fold(Sum(0, b[:IPv4Len])))
}

// PutIPv6 writes a header without extension headers to b, for payload bytes behind it.
func PutIPv6(b []byte, proto, hopLimit uint8, src, dst Addr, payload int) {
	_ = b[IPv6Len-1]
	clear(b[:8])
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	b[6], b[7] = proto, hopLimit
	*(*Addr)(b[8:]) = src
	*(*Addr)(b[24:]) = dst
}

// SetIPv4Class sets the type of service, with its bits for congestion (RFC 3168), in a header that PutIPv4 has written.
func SetIPv4Class(b []byte, class uint8) {
	sum := binary.BigEndian.Uint16(b[10:])
	b[1] = class
	binary.BigEndian.PutUint16(b[10:], Update(sum, 0x4500, 0x4500|uint16(class)))
}

// SetIPv6Class sets the traffic class, which is the same, and the flow label of 20 bits in one that PutIPv6 has written.
func SetIPv6Class(b []byte, class uint8, label uint32) {
	binary.BigEndian.PutUint32(b, 6<<28|uint32(class)<<20|label&0xfffff)
}
