package wire

import (
	"encoding/binary"
	"errors"
)

// What Decode finds wrong with a frame.
var (
	ErrTruncated = errors.New("frame ends before what it announces")
	ErrLength    = errors.New("lengths contradict each other")
	ErrChecksum  = errors.New("checksum of the IPv4 header is wrong")
)

// Packet is where things are in a frame. Offsets count from its first byte.
type Packet struct {
	Type uint16 // EtherType behind the tags
	L3   int    // begin of what Type says

	// set for IPv4 and IPv6

	Src, Dst   Addr
	Proto      uint8 // protocol at L4
	HopLimit   uint8 // IPv6 only
	Fragment   bool  // one of several
	Later      bool  // a fragment other than the first: there is no transport header
	FragmentID uint32
	L4, End    int // begin of the transport header and end of the packet; padding may follow

	// set for TCP and UDP unless Later

	SrcPort, DstPort uint16
	Flags            uint8 // of TCP
}

// Flags of TCP.
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
)

// Decode reads the headers of frame into p. An EtherType other than IPv4 and IPv6 is no error: Type and L3 are all
// there is to know then. Checksums of transport headers are not looked at: they are unfinished in frames whose
// sender leaves them to the network card.
func Decode(frame []byte, p *Packet) error {
	*p = Packet{}
	if len(frame) < EthernetLen {
		return ErrTruncated
	}
	p.Type, p.L3 = binary.BigEndian.Uint16(frame[12:]), EthernetLen
	for range maxTags {
		if p.Type != TypeVLAN && p.Type != TypeQinQ {
			break
		}
		if len(frame) < p.L3+TagLen {
			return ErrTruncated
		}
		p.Type, p.L3 = binary.BigEndian.Uint16(frame[p.L3+2:]), p.L3+TagLen
	}
	var err error
	switch p.Type {
	case TypeIPv4:
		err = p.decodeIPv4(frame[p.L3:], false)
	case TypeIPv6:
		err = p.decodeIPv6(frame[p.L3:], false)
	default:
		return nil
	}
	p.L4, p.End = p.L4+p.L3, p.End+p.L3
	if err != nil {
		return err
	}
	return p.ports(frame, false)
}

// ports reads the ports, and the flags of TCP. Quoted packets may end right behind the ports.
func (p *Packet) ports(b []byte, quoted bool) error {
	if p.Later || p.Proto != ProtoTCP && p.Proto != ProtoUDP {
		return nil
	}
	least := UDPLen
	switch {
	case quoted:
		least = 4
	case p.Proto == ProtoTCP:
		least = TCPLen
	}
	if p.End-p.L4 < least {
		return ErrTruncated
	}
	h := b[p.L4:p.End]
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	switch {
	case quoted:
	case p.Proto == ProtoTCP:
		if header := int(h[12]>>4) * 4; header < TCPLen {
			return ErrLength
		} else if header > len(h) {
			return ErrTruncated
		}
		p.Flags = h[13]
	case !p.Fragment:
		if n := int(binary.BigEndian.Uint16(h[4:])); n < UDPLen || n > len(h) {
			return ErrLength
		}
	}
	return nil
}

// Sequence is the sequence number of TCP. p is a TCP packet and not Later; frame is what it was decoded from.
func (p *Packet) Sequence(frame []byte) uint32 { return binary.BigEndian.Uint32(frame[p.L4+4:]) }

// PutTCP writes a header without options, data or urgent pointer to b, and its checksum.
func PutTCP(b []byte, src, dst Addr, srcPort, dstPort uint16, seq, ack uint32, flags uint8, window uint16) {
	_ = b[TCPLen-1]
	clear(b[:TCPLen])
	binary.BigEndian.PutUint16(b[0:], srcPort)
	binary.BigEndian.PutUint16(b[2:], dstPort)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = TCPLen/4<<4, flags
	binary.BigEndian.PutUint16(b[14:], window)
	binary.BigEndian.PutUint16(b[16:], Fold(Sum(PseudoSum(&src, &dst, ProtoTCP, TCPLen), b[:TCPLen])))
}
