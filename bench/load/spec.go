package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Kind is what a group of connections does.
type Kind string

// The kinds of traffic.
const (
	// Ping sends a request, awaits the reply, and starts again on the same connection.
	Ping Kind = "ping"
	// Short connects, sends one request, awaits the reply and closes.
	Short Kind = "short"
	// Down reads an endless reply.
	Down Kind = "down"
	// Up writes an endless request.
	Up Kind = "up"
	// Ask sends a request in a datagram, awaits the answer, and starts again from the same port.
	Ask Kind = "ask"
	// AskOnce sends a request in a datagram from an address and port that nobody has used before, awaits the answer, and
	// starts again from the next.
	AskOnce Kind = "ask-once"
	// Flood sends datagrams without end, which nobody answers, and counts those that reach the backend.
	Flood Kind = "flood"
	// Packets sends frames that nobody answers, each of the group's connections in turn; see PacketSpec.
	Packets Kind = "packets"
	// Idle makes one request per connection before the measurement and then only keeps the connection.
	Idle Kind = "idle"
)

// TLS is whether, and how, a group encrypts.
type TLS string

// The ways to begin a connection.
const (
	Plain   TLS = ""
	Full    TLS = "full"    // with a full handshake
	Resumed TLS = "resumed" // with the session of an earlier one
)

// Group is a number of connections that do the same.
type Group struct {
	Name     string
	Kind     Kind
	TLS      TLS  // Plain, or the same for all groups; then Short, Down, Up and Idle, and no Rate
	Conns    int  // connections; for Short and AskOnce: how many at a time
	Depth    int  `json:",omitempty"` // Ask: requests under way per connection, if more than one
	Train    int  `json:",omitempty"` // Flood: datagrams that the kernel is handed at a time, if more than one (UDP_SEGMENT)
	Request  int  // bytes, at least HeaderBytes, Flood and Depth: twice that; Packets: of the whole frame; not for Down and Up
	Reply    int  // bytes, at least 1, Depth: twice HeaderBytes; not for Down, Up, Flood and Packets
	Segments bool `json:",omitempty"` // Packets: of TCP, not of UDP
	// Rate of an open loop. Ping and Short: requests per second of the whole group; Packets: frames. Down: bytes per
	// second that each connection reads. Zero: closed loop, as fast as it goes.
	Rate float64 `json:",omitempty"`
}

// Spec is one measurement.
type Spec struct {
	Target  netip.AddrPort // IPv4
	Groups  []Group
	Measure time.Duration // length of the counted window
}

// GroupResult is what one group did inside the window.
type GroupResult struct {
	Name   string
	Kind   Kind
	Done   uint64 // requests answered, or packets that arrived; 0 for Down and Up
	Bytes  uint64 // payload received, for Up: written
	Errors uint64 // connections that failed; Ask and AskOnce: requests without an answer; Flood and Packets: those lost
	Late   uint64 // open loop: requests due but unanswered at the end, included in the latencies
	// Latency quantiles, from the intended (open loop) or real (closed loop) start of a request to the end of its reply.
	P50, P99, P999, Max time.Duration
}

// Result is the outcome of a Spec.
type Result struct {
	Elapsed time.Duration
	Rate    float64 `json:",omitempty"` // of a search; 0: there is no such rate
	Groups  []GroupResult
}

// HeaderBytes is the length of the header that starts every request.
const HeaderBytes = 8

// chunkBytes is the size of one bulk read or write.
const chunkBytes = 256 << 10

// endless as a length stands for a request or reply that ends with its connection.
const endless = ^uint32(0)

// How long a reply to a datagram is can also be one of these.
const (
	silence = 0       // there is none; the datagram is counted
	tally   = endless // HeaderBytes that tell how many were counted, and the number of the request
)

// numberBytes is the length of the number behind the header of each of several requests under way, which the answer
// repeats at the same place.
const numberBytes = 8

// putHeader writes the header of a request of request bytes that asks for reply bytes.
func putHeader(b []byte, request, reply uint32) {
	binary.LittleEndian.PutUint32(b, request)
	binary.LittleEndian.PutUint32(b[4:], reply)
}

// header is the inverse of putHeader.
func header(b []byte) (request, reply uint32) {
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
}

// request returns the bytes that a connection of the group sends first.
func (g *Group) request() []byte {
	switch g.Kind {
	case Down:
		b := make([]byte, HeaderBytes)
		putHeader(b, HeaderBytes, endless)
		return b
	case Up:
		b := make([]byte, HeaderBytes)
		putHeader(b, endless, 0)
		return b
	}
	b := make([]byte, g.Request)
	reply := uint32(g.Reply)
	if g.Kind == Flood { // what it opens with
		reply = tally
	}
	putHeader(b, uint32(g.Request), reply)
	return b
}

// Check reports what is wrong with a Spec.
func (s *Spec) Check() error {
	if !s.Target.Addr().Is4() || s.Target.Port() == 0 {
		return fmt.Errorf("target %v: want an IPv4 address and port", s.Target)
	}
	if s.Measure <= 0 {
		return errors.New("nothing to measure: the window is empty")
	}
	if len(s.Groups) == 0 {
		return errors.New("no groups")
	}
	for i := range s.Groups {
		if err := s.Groups[i].check(); err != nil {
			return fmt.Errorf("group %q: %w", s.Groups[i].Name, err)
		}
	}
	return nil
}

// Bounds of what one call sends: of UDP over IPv4, and of UDP_SEGMENT before Linux 6.9 (linux/udp.h, UDP_MAX_SEGMENTS).
const (
	datagramMost = 65507
	trainMost    = 64
)

// datagrams reports whether g is one of UDP.
func (g *Group) datagrams() bool { return g.Kind == Ask || g.Kind == AskOnce || g.Kind == Flood }

func (g *Group) check() error {
	if g.Conns < 1 {
		return errors.New("no connections")
	}
	if g.Rate < 0 {
		return errors.New("negative rate")
	}
	if g.TLS != Plain && (g.Rate > 0 || g.Kind == Ping || g.datagrams()) {
		return fmt.Errorf("no %s with TLS", g.Kind)
	}
	if g.datagrams() && g.Rate > 0 {
		return errors.New("datagrams have no rate")
	}
	switch g.Kind {
	case Ask, AskOnce:
		if g.Depth > 1 && (g.Kind != Ask || min(g.Request, g.Reply) < HeaderBytes+numberBytes) {
			return fmt.Errorf("no %d requests of %d bytes under way by %s", g.Depth, g.Request, g.Kind)
		}
		fallthrough
	case Ping, Short, Idle:
		if g.Request < HeaderBytes || g.Request > chunkBytes {
			return fmt.Errorf("request of %d bytes: want %d to %d", g.Request, HeaderBytes, chunkBytes)
		}
		if g.Reply < 1 || uint64(g.Reply) >= uint64(endless) {
			return fmt.Errorf("reply of %d bytes", g.Reply)
		}
	case Flood:
		if size := g.Request * max(g.Train, 1); g.Request < HeaderBytes+numberBytes || size > datagramMost || g.Train > trainMost {
			return fmt.Errorf("trains of %d datagrams of %d bytes: want %d bytes to %d, and %d of them at most", g.Train, g.Request,
				HeaderBytes+numberBytes, datagramMost, trainMost)
		}
		if g.Conns != 1 {
			return fmt.Errorf("%d connections: a flood has one", g.Conns)
		}
	case Packets:
		if g.Request < 60 || g.Request > 1514 {
			return fmt.Errorf("frames of %d bytes: want 60 to 1514", g.Request)
		}
	case Down:
	case Up:
		if g.Rate > 0 {
			return errors.New("uploads have no rate")
		}
	default:
		return fmt.Errorf("unknown kind %q", g.Kind)
	}
	return nil
}
