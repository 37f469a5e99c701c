package dsr

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/penlb/pen/dsr/wire"
)

// A server beyond a router gets each packet in another one, from an address of Sources to its own:
//
//	Ethernet to the router │ IPv4 or IPv6 to the server │ the packet, as it came
//
// The outer packet has the class of the inner one (RFC 6040, 4.1), a hop limit of 64, and must not be fragmented: who
// sends what does not fit is told, or it is cut before (see cut).

// Sources are the networks whose addresses outer packets come from. A flow has one of them, by its hash, so that network
// cards, routers and servers that look at the outer addresses alone spread the flows. Nobody has to have the addresses,
// but no router on the way may mind them. A network of one address is that address. The zero Prefix stands for
// DefaultSource4 or DefaultSource6.
type Sources struct {
	Four, Six netip.Prefix // of IPv6 at most the lower 64 bits vary
}

// What Sources are by default: private addresses (RFC 1918), and the ones that lead nowhere (RFC 6666).
var (
	DefaultSource4 = netip.MustParsePrefix("172.16.0.0/16")
	DefaultSource6 = netip.MustParsePrefix("100::/64")
)

func (s Sources) check() error {
	if s.Four.IsValid() && (!s.Four.Addr().Is4() || s.Four.Addr().IsMulticast()) {
		return fmt.Errorf("%v: want a network of IPv4", s.Four)
	}
	if s.Six.IsValid() && (!s.Six.Addr().Is6() || s.Six.Addr().Is4In6() || s.Six.Addr().IsMulticast()) {
		return fmt.Errorf("%v: want a network of IPv6", s.Six)
	}
	return nil
}

// outerSources is Sources as numbers, and which bits of them vary: struct sources of bpf/dsr.c.
type outerSources struct {
	Four, FourVaries uint32
	Six              [2]uint64 // the upper half first
	SixVaries        uint64    // of the lower half
}

func (s Sources) numbers() outerSources {
	if !s.Four.IsValid() {
		s.Four = DefaultSource4
	}
	if !s.Six.IsValid() {
		s.Six = DefaultSource6
	}
	four, six := s.Four.Masked().Addr().As4(), s.Six.Masked().Addr().As16()
	return outerSources{
		Four:       binary.BigEndian.Uint32(four[:]),
		FourVaries: uint32(1<<(32-s.Four.Bits()) - 1),
		Six:        [2]uint64{binary.BigEndian.Uint64(six[:8]), binary.BigEndian.Uint64(six[8:])},
		SixVaries:  1<<min(128-s.Six.Bits(), 64) - 1,
	}
}

// four and six are the address for a flow of hash h.
func (s *outerSources) four(h uint64) (a wire.Addr) {
	a[10], a[11] = 0xff, 0xff
	binary.BigEndian.PutUint32(a[12:], s.Four|uint32(h>>32)&s.FourVaries)
	return a
}

func (s *outerSources) six(h uint64) (a wire.Addr) {
	binary.BigEndian.PutUint64(a[:], s.Six[0])
	binary.BigEndian.PutUint64(a[8:], s.Six[1]|h&s.SixVaries)
	return a
}

// labelShift leaves of a hash the 20 bits of a flow label (RFC 6438).
const labelShift = 64 - 20

// tunnel is what stands before a packet, and where things are in it. Offsets count from the first byte of the packet.
type tunnel struct {
	head []byte // Ethernet and outer header; empty: the last frame goes through no tunnel
	mtu  int    // longest packet that goes through
	tcp  bool
	l4   int // the transport header
	body int // what follows that
	end  int // what follows the packet is padding

	room [wire.EthernetLen + wire.IPv6Len]byte // of head
}

// body is where the data of TCP and UDP begin.
func body(frame []byte, p *wire.Packet) int {
	switch {
	case p.Later:
		return p.L4
	case p.Proto == wire.ProtoTCP:
		return p.L4 + int(frame[p.L4+12]>>4)*4
	case p.Proto == wire.ProtoUDP:
		return p.L4 + wire.UDPLen
	}
	return p.L4
}

// fits reports whether a packet, or what will be cut of it, is at most mtu bytes long. TCP can be cut again.
func fits(frame []byte, p *wire.Packet, segment, mtu int) bool {
	if segment == 0 {
		return p.End-p.L3 <= mtu
	}
	if p.Proto == wire.ProtoTCP {
		segment = 1
	}
	return body(frame, p)-p.L3+segment <= mtu
}

// wrap sets f.tunnel and returns the packet in frame. h is the hash of the flow.
func (f *Forwarder) wrap(t *tables, frame []byte, p *wire.Packet, to *target, h uint64) []byte {
	w := &f.tunnel
	w.mtu, w.tcp = int(to.MTU), p.Proto == wire.ProtoTCP
	w.l4, w.body, w.end = p.L4-p.L3, body(frame, p)-p.L3, p.End-p.L3
	packet := frame[p.L3:]
	proto, class := uint8(wire.ProtoIPv4), packet[1]
	if p.Type == wire.TypeIPv6 {
		proto, class = wire.ProtoIPv6, packet[0]<<4|packet[1]>>4
	}
	outer := w.room[wire.EthernetLen:]
	if to.Addr.Is4() {
		w.head = w.room[:wire.EthernetLen+wire.IPv4Len]
		wire.PutEthernet(w.head, to.MAC, t.mac, wire.TypeIPv4)
		wire.PutIPv4(outer, proto, t.outer.four(h), to.Addr, w.end)
		wire.SetIPv4Class(outer, class)
	} else {
		w.head = w.room[:]
		wire.PutEthernet(w.head, to.MAC, t.mac, wire.TypeIPv6)
		wire.PutIPv6(outer, proto, 64, t.outer.six(h), to.Addr, w.end)
		wire.SetIPv6Class(outer, class, uint32(h>>labelShift))
	}
	return packet
}

const (
	complaintsPerSecond = 1000 // of one thread: RFC 1812 and RFC 4443 want a limit
	complaint4          = 576  // longest message to the sender (RFC 1812, 4.3.2.3)
	complaint6          = 1280 // RFC 4443, 3.2
)

// complain makes frame the message to who sent it that its packet does not fit into the tunnel. It is from the virtual
// address, which the packet was for.
func (f *Forwarder) complain(t *tables, frame []byte, p *wire.Packet, mtu int, now int64) (Verdict, []byte) {
	const four, six = wire.IPv4Len + wire.ICMPLen, wire.IPv6Len + wire.ICMPLen
	head, longest := p.L3+four, complaint4-four
	if p.Type == wire.TypeIPv6 {
		head, longest = p.L3+six, complaint6-six
	}
	quoted := min(p.End-p.L3, longest, len(frame)-head)
	eth := wire.Ethernet(frame)
	control := (p.Proto == wire.ProtoICMP || p.Proto == wire.ProtoICMPv6) && !p.Echo(frame)
	if p.Later || control || eth.Src().Group() || p.Src.Unspecified() || p.Src.Multicast() || quoted < four ||
		!f.complaints.take(now, complaintsPerSecond) {
		return DropTooBig, nil
	}
	copy(frame[head:], frame[p.L3:][:quoted])
	frame = frame[:head+quoted]
	if p.Type == wire.TypeIPv6 {
		wire.PutIPv6(frame[p.L3:], wire.ProtoICMPv6, 64, p.Dst, p.Src, wire.ICMPLen+quoted)
	} else {
		wire.PutIPv4(frame[p.L3:], wire.ProtoICMP, p.Dst, p.Src, wire.ICMPLen+quoted)
	}
	wire.PutTooBig(frame[head-wire.ICMPLen:], p.Dst, p.Src, mtu)
	eth.SetDst(eth.Src())
	eth.SetSrc(t.mac)
	return Answered, frame
}
