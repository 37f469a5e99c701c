package dsr

import (
	"encoding/binary"

	"github.com/penlb/pen/dsr/wire"
)

// offload is what the sender of a frame has left to the network card, and a network card cannot do inside a tunnel.
type offload struct {
	segment int // how much data each piece of the frame shall have; 0: it is not to be cut
	// The checksum at sum, unless that is 0, covers everything from start on. It is not finished: only the sum of the
	// pseudo header is there. Offsets count from the first byte of the packet.
	start, sum int
}

// cut is the complete frames that become of one that goes through a tunnel.
type cut struct {
	*tunnel
	offload
	packet []byte
	at     int // data already in frames
	pieces int
}

// newCut begins with packet, what Process has returned with w. TCP is cut as small as the tunnel wants it.
func newCut(w *tunnel, packet []byte, o offload) cut {
	if o.segment > 0 && w.tcp {
		o.segment = min(o.segment, w.mtu-w.body)
	}
	return cut{tunnel: w, offload: o, packet: packet[:w.end]}
}

// longest is how long a frame gets at most.
func (c *cut) longest() int {
	if c.segment > 0 {
		return len(c.head) + min(c.body+c.segment, len(c.packet))
	}
	return len(c.head) + len(c.packet)
}

// next writes the next frame to b, which has room for the longest one, and returns it, or nil behind the last.
func (c *cut) next(b []byte) []byte {
	n := copy(b, c.head)
	if c.segment == 0 {
		if c.pieces++; c.pieces > 1 {
			return nil
		}
		b = b[:n+copy(b[n:], c.packet)]
		finish(b[n:], c.offload)
		return b
	}
	data := c.packet[c.body:]
	if c.at >= len(data) && c.pieces > 0 {
		return nil
	}
	size := min(c.segment, len(data)-c.at)
	n += copy(b[n:], c.packet[:c.body])
	n += copy(b[n:], data[c.at:][:size])
	b = b[:n]
	c.adapt(b[len(c.head):], c.at+size == len(data))
	setLength(b[wire.EthernetLen:], len(b)-wire.EthernetLen)
	c.at += size
	c.pieces++
	return b
}

// finish completes a checksum.
func finish(packet []byte, o offload) {
	if o.sum == 0 || o.start >= o.sum || o.sum+2 > len(packet) {
		return
	}
	sum := wire.Fold(wire.Sum(0, packet[o.start:]))
	if sum == 0 {
		sum = 0xffff // the same number; of UDP, 0 is none at all
	}
	binary.BigEndian.PutUint16(packet[o.sum:], sum)
}

// adapt makes the headers of the whole those of the piece at b.
func (c *cut) adapt(b []byte, last bool) {
	h := b[c.l4:]
	at := 6 // of the checksum
	if c.tcp {
		at = 16
		binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+uint32(c.at))
		if !last {
			h[13] &^= wire.FlagFIN | wire.FlagPSH
		}
		if c.pieces > 0 {
			h[13] &^= flagCWR // said once (RFC 3168, 6.1.2)
		}
	} else {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)))
	}
	proto, src, dst := uint8(wire.ProtoUDP), wire.Addr{}, wire.Addr{}
	if c.tcp {
		proto = wire.ProtoTCP
	}
	if b[0]>>4 == 4 {
		src, dst = wire.AddrFrom4(b[12:]), wire.AddrFrom4(b[16:])
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(c.pieces)) // identification
	} else {
		src, dst = wire.Addr(b[8:24]), wire.Addr(b[24:40])
	}
	setLength(b, len(b))
	binary.BigEndian.PutUint16(h[at:], 0)
	sum := wire.Fold(wire.Sum(wire.PseudoSum(&src, &dst, proto, len(h)), h))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(h[at:], sum)
}

const flagCWR = 0x80 // of TCP: congestion window reduced

// setLength makes the packet that begins with the IP header at b length bytes long.
func setLength(b []byte, length int) {
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint16(b[4:], uint16(length-wire.IPv6Len))
		return
	}
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	header := b[:int(b[0]&15)*4]
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], wire.Fold(wire.Sum(0, header)))
}
