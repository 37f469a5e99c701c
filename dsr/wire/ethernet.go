package wire

import "encoding/binary"

// EtherTypes.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100 // IEEE 802.1Q
	TypeQinQ = 0x88a8 // IEEE 802.1ad, the outer of two tags
	TypeIPv6 = 0x86dd
)

// Lengths in bytes.
const (
	EthernetLen = 14
	TagLen      = 4
	ARPLen      = 28
	IPv4Len     = 20 // without options
	IPv6Len     = 40 // without extension headers
	TCPLen      = 20 // without options
	UDPLen      = 8
	ICMPLen     = 8  // as far as all messages that matter here agree
	NDLen       = 24 // a neighbour solicitation or advertisement without options
	LinkAddrLen = 8  // the option with an Ethernet address
)

// maxTags is how many VLAN tags a frame may have: one, or two by 802.1ad.
const maxTags = 2

// Ethernet is a frame of at least EthernetLen bytes.
type Ethernet []byte

// Dst is to whom the frame goes.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src is who sent it.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// SetDst and SetSrc change the addresses.
func (e Ethernet) SetDst(m MAC) { *(*MAC)(e[0:6]) = m }

// SetSrc changes the sender.
func (e Ethernet) SetSrc(m MAC) { *(*MAC)(e[6:12]) = m }

// PutEthernet writes a header without tags to b.
func PutEthernet(b []byte, dst, src MAC, etherType uint16) {
	_ = b[EthernetLen-1]
	Ethernet(b).SetDst(dst)
	Ethernet(b).SetSrc(src)
	binary.BigEndian.PutUint16(b[12:], etherType)
}

// Operations of ARP.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is a packet of at least ARPLen bytes, for IPv4 over Ethernet.
type ARP []byte

// Valid reports whether a is long enough and for IPv4 over Ethernet.
func (a ARP) Valid() bool {
	return len(a) >= ARPLen && [6]byte(a[:6]) == [6]byte{0, 1, TypeIPv4 >> 8, TypeIPv4 & 0xff, 6, 4}
}

// Op is the operation.
func (a ARP) Op() uint16 { return binary.BigEndian.Uint16(a[6:]) }

// SenderMAC and the three others are the addresses.
func (a ARP) SenderMAC() MAC { return MAC(a[8:14]) }

// Sender is the protocol address of who sends.
func (a ARP) Sender() Addr { return AddrFrom4(a[14:18]) }

// TargetMAC is zero in a request.
func (a ARP) TargetMAC() MAC { return MAC(a[18:24]) }

// Target is the address that is asked for.
func (a ARP) Target() Addr { return AddrFrom4(a[24:28]) }

// PutARP writes a packet to b. sender and target are IPv4 addresses.
func PutARP(b []byte, op uint16, senderMAC MAC, sender Addr, targetMAC MAC, target Addr) {
	_ = b[ARPLen-1]
	*(*[6]byte)(b) = [6]byte{0, 1, TypeIPv4 >> 8, TypeIPv4 & 0xff, 6, 4}
	binary.BigEndian.PutUint16(b[6:], op)
	*(*MAC)(b[8:]) = senderMAC
	copy(b[14:18], sender[12:])
	*(*MAC)(b[18:]) = targetMAC
	copy(b[24:28], target[12:])
}
