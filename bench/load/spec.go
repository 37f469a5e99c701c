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
	Name    string
	Kind    Kind
	TLS     TLS // Plain, or the same for all groups; then Short, Down, Up and Idle, and no Rate
	Conns   int // connections; for Short: how many at a time
	Request int // bytes, at least HeaderBytes; Packets: of the whole frame; not for Down and Up
	Reply   int // bytes, at least 1; not for Down and Up
	// Rate of an open loop. Ping and Short: requests per second of the whole group. Down: bytes per second that each
	// connection reads. Zero: closed loop, as fast as it goes.
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
	Errors uint64 // connections that failed; Ask: requests without an answer; Packets: those lost
	Late   uint64 // open loop: requests due but unanswered at the end, included in the latencies
	// Latency quantiles, from the intended (open loop) or real (closed loop) start of a request to the end of its reply.
	P50, P99, P999, Max time.Duration
}

// Result is the outcome of a Spec.
type Result struct {
	Elapsed time.Duration
	Groups  []GroupResult
}

// HeaderBytes is the length of the header that starts every request.
const HeaderBytes = 8

// chunkBytes is the size of one bulk read or write.
const chunkBytes = 256 << 10

// endless as a length stands for a request or reply that ends with its connection.
const endless = ^uint32(0)

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
	putHeader(b, uint32(g.Request), uint32(g.Reply))
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

func (g *Group) check() error {
	if g.Conns < 1 {
		return errors.New("no connections")
	}
	if g.Rate < 0 {
		return errors.New("negative rate")
	}
	if g.TLS != Plain && (g.Rate > 0 || g.Kind == Ping || g.Kind == Ask) {
		return fmt.Errorf("no %s with TLS", g.Kind)
	}
	switch g.Kind {
	case Ask:
		if g.Rate > 0 {
			return errors.New("datagrams have no rate")
		}
		fallthrough
	case Ping, Short, Idle:
		if g.Request < HeaderBytes || g.Request > chunkBytes {
			return fmt.Errorf("request of %d bytes: want %d to %d", g.Request, HeaderBytes, chunkBytes)
		}
		if g.Reply < 1 || uint64(g.Reply) >= uint64(endless) {
			return fmt.Errorf("reply of %d bytes", g.Reply)
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
