package proxy

import (
	"iter"
	"net/netip"

	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

// state is where a session stands.
type state uint8

const (
	free       state = iota
	securing         // the client's TLS handshake
	waiting          // for a server, or for a descriptor to connect with
	connecting       // to a server, its TLS handshake included
	relaying         // bytes pass
	answering        // the dummy server's answer is on its way
	closing          // accounted for; its sockets are being closed
)

// session is one client's connection. It holds no pointers, and no buffers: those are in the relay only while bytes
// are inside them.
type session struct {
	relay splice.Relay
	down  ring.Sock // the client
	up    ring.Sock // the server, 0 while there is none
	state state
	open  uint8  // sockets whose OpClose is awaited
	http  bool   // -H: requests are followed and changed
	asked bool   // its request is in Worker.requests
	why   cause  // what was the first to end it; 0 while nothing has
	ports uint8  // ports of the client's address tried towards the server; 0: the address is ours
	gen   uint32 // of the slot; part of the token
	slot  uint32
	timer ring.Timer // connect timeout, idle timeout, or the end of lingering
	// active is when bytes last passed, on the loop's clock.
	active int64
	began  int64 // when it was accepted, on that clock
	account
}

// account is what the policy knows of a session. It lives apart from the sockets.
type account struct {
	number int32 // the connection number; -1 in a free slot
	server int32 // the server whose place is taken, or balance.None
	first  int32 // the first choice, where failover ends
	known  int32 // the server that the client was remembered with
	addr   [16]byte
	port   uint16
	unix   bool
	dirty  bool // in the list of sessions with traffic to hand over
	client client.Ref
	sent   [2]uint64 // bytes handed to the policy already, by splice.Dir
	prev   uint32    // in that list, slot+1
	next   uint32
}

// addrPort is the client's address; invalid for a Unix socket.
func (a *account) addrPort() netip.AddrPort {
	if a.unix {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.addr).Unmap(), a.port)
}

// slab is the memory of a worker's sessions: chunks that never move and are never given back.
type slab struct {
	chunks []*[chunkLen]session
	freed  []uint32
	n      int // in use
}

const chunkLen = 256

func (sl *slab) at(slot uint32) *session { return &sl.chunks[slot/chunkLen][slot%chunkLen] }

// get returns a free session, zero but for slot and generation.
func (sl *slab) get() *session {
	if len(sl.freed) == 0 {
		base := uint32(len(sl.chunks) * chunkLen)
		c := new([chunkLen]session)
		for i := range c {
			c[i].slot, c[i].number = base+uint32(i), -1
		}
		sl.chunks = append(sl.chunks, c)
		for i := chunkLen; i > 0; i-- {
			sl.freed = append(sl.freed, base+uint32(i-1))
		}
	}
	i := len(sl.freed) - 1
	s := sl.at(sl.freed[i])
	sl.freed = sl.freed[:i]
	sl.n++
	return s
}

// put frees s. Tokens of its operations no longer match.
func (sl *slab) put(s *session) {
	*s = session{slot: s.slot, gen: (s.gen + 1) & genMask, account: account{number: -1}}
	sl.freed = append(sl.freed, s.slot)
	sl.n--
}

// live yields the sessions that are not free or closing.
func (sl *slab) live() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for _, c := range sl.chunks {
			for i := range c {
				if s := &c[i]; s.state != free && s.state != closing && !yield(s) {
					return
				}
			}
		}
	}
}

// Token classes of a worker's operations.
const (
	classSession  ring.Class = 1 // value: generation and slot
	classListener ring.Class = 2 // value: index in Worker.listeners
	classOrphan   ring.Class = 3 // sockets that no session knows any more; value: 0 or orphanWithoutFD
	classRetry    ring.Class = 4 // the timer of a worker that waits for descriptors
	classIdler    ring.Class = 5 // value: generation and index in idlers
	classTLS      ring.Class = 6 // of tlsloop
)

// orphanWithoutFD marks a socket that never got a descriptor: closing it frees none.
const orphanWithoutFD = 1

const genMask = 1<<24 - 1

func (s *session) token() ring.Token {
	return ring.NewToken(classSession, uint64(s.gen)<<32|uint64(s.slot))
}

// lookup is the session of a token; nil if its slot has another life.
func (sl *slab) lookup(t ring.Token) *session {
	v := t.Value()
	s := sl.at(uint32(v))
	if s.gen != uint32(v>>32) || s.state == free {
		return nil
	}
	return s
}
