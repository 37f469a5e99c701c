package dsr

import (
	"errors"

	"github.com/penlb/pen/dsr/wire"
)

// tables is all that forwarding depends on beside the flows. Nobody changes one that has been published.
type tables struct {
	mac     wire.MAC // ours
	vips    map[vipKey]uint32
	slots   *[Slots]uint16
	servers []target
	own     map[wire.Addr]bool // addresses of this machine and of the servers: never a tarpit
	outer   outerSources
	config  Config
	tarpit  bool
}

// target is a server as forwarding sees it: struct server of bpf/dsr.c, without padding of the compiler.
type target struct {
	MAC        wire.MAC // of the server, or of the router on the way to it
	Flags      uint8
	_          uint8
	Generation uint32    // changes when the number is given to another server
	MTU        uint16    // longest packet that a tunnel takes
	_          uint16    //
	Addr       wire.Addr // end of a tunnel; and whose number this is, for the process that takes over
}

// Flags of a target.
const (
	targetAlive  = 1 << iota // it answers, and MAC is known
	targetChosen             // new flows may go to it; else only those that it has
	targetTunnel             // it gets packets in packets
)

// Verdict is what becomes of a frame.
type Verdict uint8

// Verdicts. Those from DropTruncated on are causes for which a frame is dropped.
const (
	// Forwarded: the frame goes out as it is now, with what the sender left to the network card.
	Forwarded Verdict = iota
	// Answered: the frame was replaced by a complete one of our own.
	Answered
	// Heard: the frame told where a neighbour is; there is nothing to send.
	Heard

	DropTruncated // ends before what its headers announce
	DropLength    // lengths in its headers contradict each other
	DropChecksum  // of the IPv4 header
	DropLoop      // sent by ourselves, or would be sent to ourselves
	DropForeign   // addressed to another machine, or to a group
	DropOther     // nothing that we forward or answer for
	DropDenied    // by the access list for clients
	DropNoServer  // none is there and alive
	DropRate      // tarpit: asked too often
	DropSize      // longer than a slot of the ring, see MaxFrame
	DropSend      // the interface did not take it
	DropTooBig    // for a tunnel, and the sender cannot be told
	verdicts
)

// causes are the names of the drops.
var causes = [verdicts]string{
	DropTruncated: "truncated", DropLength: "length", DropChecksum: "checksum", DropLoop: "loop", DropForeign: "foreign",
	DropOther: "other", DropDenied: "denied", DropNoServer: "no_server", DropRate: "tarpit_rate", DropSize: "too_long",
	DropSend: "not_sent", DropTooBig: "too_big",
}

// Forwarder turns frames into frames. One goroutine at a time may use it.
type Forwarder struct {
	flows  *flowTable
	pit    *pit
	counts *counts

	// Of the last frame: what was heard, whom a tarpit caught, and the tunnel that it goes through.
	heard    neighbour
	offender offence
	tunnel   tunnel

	complaints bucket // about packets too big
}

// neighbour is who is where.
type neighbour struct {
	addr wire.Addr
	mac  wire.MAC
}

// Process decides about the frame, which arrived at time now (nanoseconds, of any clock that does not step). segment is
// how much data the sender wants in each piece of the frame, which it leaves to the network card to cut; 0 if there is
// nothing to cut. Process changes the frame in place and returns what to send, which may be longer than the frame up to
// its capacity and shares its memory; or nil. What goes through a tunnel is the packet without its Ethernet header;
// f.tunnel has what goes before it. It counts the frame.
func (f *Forwarder) Process(t *tables, frame []byte, segment int, now int64) (Verdict, []byte) {
	f.tunnel.head = f.tunnel.head[:0]
	v, out := f.process(t, frame, segment, now)
	f.counts.verdicts[v].Add(1)
	return v, out
}

func (f *Forwarder) process(t *tables, frame []byte, segment int, now int64) (Verdict, []byte) {
	var p wire.Packet
	if err := wire.Decode(frame, &p); err != nil {
		return malformed(err), nil
	}
	eth := wire.Ethernet(frame)
	if eth.Src() == t.mac {
		return DropLoop, nil
	}
	switch p.Type {
	case wire.TypeARP:
		return f.arp(t, frame, p.L3)
	case wire.TypeIPv4, wire.TypeIPv6:
	default:
		return DropOther, nil
	}
	if p.Type == wire.TypeIPv6 {
		if nd := p.Neighbour(frame); nd != nil {
			return f.solicited(t, frame, &p, nd)
		}
	}
	if eth.Dst() != t.mac {
		return DropForeign, nil
	}
	vip, k, port, ok := t.lookup(frame, &p)
	if !ok {
		if t.tarpit && p.Proto == wire.ProtoTCP && !p.Later && p.Flags&(wire.FlagSYN|wire.FlagACK) == wire.FlagSYN {
			return f.trap(t, frame, &p, now)
		}
		return DropOther, nil
	}
	opens := p.Proto == wire.ProtoTCP && !p.Later && p.Flags&(wire.FlagSYN|wire.FlagACK) == wire.FlagSYN
	server, v := f.route(t, &k, port, opens)
	if v != Forwarded {
		return v, nil
	}
	if p.Fragment && !p.Later {
		f.remember(t, flowKey{Client: p.Src, VIP: p.Dst, Ports: p.FragmentID, Proto: p.Proto, Fragments: 1}, server)
	}
	to := &t.servers[server]
	if to.MAC == t.mac {
		return DropLoop, nil
	}
	if to.Flags&targetTunnel != 0 {
		if p.L3 != wire.EthernetLen {
			return DropOther, nil // the way on has no tags
		}
		if !fits(frame, &p, segment, int(to.MTU)) {
			return f.complain(t, frame, &p, int(to.MTU), now)
		}
	}
	eth.SetDst(to.MAC)
	eth.SetSrc(t.mac)
	f.counts.forwarded(server, vip, len(frame))
	if to.Flags&targetTunnel != 0 {
		return Forwarded, f.wrap(t, frame, &p, to, hash(keySource, &k.Client, port))
	}
	return Forwarded, frame
}

func malformed(err error) Verdict {
	switch {
	case errors.Is(err, wire.ErrTruncated):
		return DropTruncated
	case errors.Is(err, wire.ErrChecksum):
		return DropChecksum
	}
	return DropLength
}

// lookup finds the VIP that p is for, the flow that it belongs to, and the port of its client, as far as it counts.
func (t *tables) lookup(frame []byte, p *wire.Packet) (vip uint32, k flowKey, port uint16, ok bool) {
	switch {
	case p.Later:
		if vip, ok = t.vips[vipKey{Addr: p.Dst, Proto: anyOf}]; !ok {
			return 0, k, 0, false
		}
		// A VIP of any port may be meant; the first fragment has told, or the addresses decide.
		k = flowKey{Client: p.Src, VIP: p.Dst, Ports: p.FragmentID, Proto: p.Proto, Fragments: 1}
	case p.Proto == wire.ProtoTCP || p.Proto == wire.ProtoUDP:
		if vip, ok = t.service(p.Dst, p.DstPort, p.Proto); !ok {
			return 0, k, 0, false
		}
		k = flowKey{Client: p.Src, VIP: p.Dst, Ports: ports(p.SrcPort, p.DstPort), Proto: p.Proto}
		if !p.Fragment {
			port = p.SrcPort
		}
	case p.Echo(frame):
		if vip, ok = t.whole(p.Dst); !ok {
			return 0, k, 0, false
		}
		k = flowKey{Client: p.Src, VIP: p.Dst, Proto: p.Proto}
	default:
		// The packet that an error quotes is one that a server sent: its ends are those of the flow, swapped.
		var q wire.Packet
		if !p.Quoted(frame, &q) || q.Src != p.Dst {
			return 0, k, 0, false
		}
		if vip, ok = t.service(q.Src, q.SrcPort, q.Proto); !ok {
			return 0, k, 0, false
		}
		k = flowKey{Client: q.Dst, VIP: q.Src, Ports: ports(q.DstPort, q.SrcPort), Proto: q.Proto}
		port = q.DstPort
	}
	return vip, k, port, true
}

// service is the VIP that a port of an address belongs to.
func (t *tables) service(a wire.Addr, port uint16, proto uint8) (uint32, bool) {
	vip, ok := t.vips[vipKey{Addr: a, Port: port, Proto: proto}]
	if !ok {
		vip, ok = t.vips[vipKey{Addr: a, Proto: proto}]
	}
	return vip, ok
}

// whole is the VIP that has all ports of an address.
func (t *tables) whole(a wire.Addr) (uint32, bool) {
	vip, ok := t.vips[vipKey{Addr: a, Proto: wire.ProtoTCP}]
	if !ok {
		vip, ok = t.vips[vipKey{Addr: a, Proto: wire.ProtoUDP}]
	}
	return vip, ok
}

// route is the server of a flow: the one that it has, while that is alive; else the choice of the hash. A connection
// that only opens leaves a server that takes no new ones.
func (f *Forwarder) route(t *tables, k *flowKey, port uint16, opens bool) (uint16, Verdict) {
	s, fh := f.flows.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.find(k, fh)
	if known != nil && t.holds(&known.place, opens) {
		return known.place.Server, Forwarded
	}
	if t.config.Permit != nil && !t.config.Permit(k.Client.Netip()) {
		return 0, DropDenied
	}
	if !t.config.HashPort {
		port = 0
	}
	server := t.slots[hash(keyClient, &k.Client, port)%Slots]
	if server == none {
		return 0, DropNoServer
	}
	p := place{Server: server, Generation: t.servers[server].Generation}
	if known != nil {
		known.place = p
	} else {
		s.add(k, fh, p)
	}
	return server, Forwarded
}

// holds reports whether a flow may stay at p.
func (t *tables) holds(p *place, opens bool) bool {
	if int(p.Server) >= len(t.servers) {
		return false
	}
	sv := &t.servers[p.Server]
	return sv.Generation == p.Generation && sv.Flags&targetAlive != 0 && (!opens || sv.Flags&targetChosen != 0)
}

// remember sends the flow k to server.
func (f *Forwarder) remember(t *tables, k flowKey, server uint16) {
	p := place{Server: server, Generation: t.servers[server].Generation}
	s, h := f.flows.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.find(&k, h); known != nil {
		known.place = p
	} else {
		s.add(&k, h, p)
	}
}
