package load

import (
	"encoding/binary"
	"net"
	"syscall"
)

// etherIPv4 is the EtherType of IPv4.
const etherIPv4 = 0x0800

// frames are one of each flow, each with an address and a port of its own.
func (s *PacketSpec) frames() ([][]byte, error) {
	next, err := net.ParseMAC(s.Next)
	if err != nil {
		return nil, err
	}
	link, err := net.InterfaceByName(s.Out)
	if err != nil {
		return nil, err
	}
	g := &s.Groups[0]
	to, from := s.Target.Addr().As4(), s.From.As4()
	list := make([][]byte, g.Conns)
	for i := range list {
		b := make([]byte, g.Request)
		copy(b, next)
		copy(b[6:], link.HardwareAddr)
		binary.BigEndian.PutUint16(b[12:], etherIPv4)
		ip := b[14:]
		ip[0], ip[8], ip[9] = 0x45, 64, syscall.IPPROTO_UDP
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint32(ip[12:], binary.BigEndian.Uint32(from[:])+uint32(i))
		copy(ip[16:], to[:])
		// Neither has a checksum: UDP need not have one (RFC 768), and of TCP nobody looks at it who only forwards.
		l4 := ip[20:]
		binary.BigEndian.PutUint16(l4, uint16(10000+i))
		binary.BigEndian.PutUint16(l4[2:], s.Target.Port())
		if g.Segments {
			const words, ack, push = 5, 0x10, 0x08
			ip[9] = syscall.IPPROTO_TCP
			l4[12], l4[13] = words<<4, ack|push
		} else {
			binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		}
		binary.BigEndian.PutUint16(ip[10:], headerSum(ip[:20]))
		list[i] = b
	}
	return list, nil
}

// headerSum is the checksum of an IPv4 header (RFC 1071).
func headerSum(h []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
}
