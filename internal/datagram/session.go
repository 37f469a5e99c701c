package datagram

import (
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// session is what is known of one client's conversation. It holds no pointers, so that a million of them are nothing
// to the garbage collector.
type session struct {
	client sock.Endpoint
	local  sock.Endpoint // the address that the client wrote to; none unless the listener is on the wildcard
	to     sock.Endpoint // the server
	down   ring.Sock     // the listener
	up     int32         // index of the up-socket; -1: none
	lane   int32         // index of the server's lane
	server int32         // whose place is taken, or balance.None
	known  int32         // the server that the client was remembered with
	who    client.Ref
	began  int64 // on the loop's clock
	active int64 // when a datagram passed last
	count

	slot  uint32
	used  bool
	hash  [2]uint32 // by index
	next  [2]uint32 // in the bucket, slot+1
	newer uint32    // neighbours in the lane's list by use, slot+1
	older uint32
}

// count is the traffic of a session.
type count struct {
	up, down         uint64 // bytes
	upTold, downTold uint64 // of those, handed to the policy already
	asked, answers   uint64 // datagrams, to and from the present server
}

// The indexes of a table.
const (
	byClient = iota
	byUp
)

// table is the memory of a worker's sessions, and the two ways to find one. All it does takes constant time, also when
// it grows: the slab grows by chunks that never move, the indexes by a bucket at a time.
type table struct {
	chunks []*[chunk]session
	freed  []uint32
	n      int
	index  [2]index
}

const chunk = 256

func (t *table) at(slot uint32) *session { return &t.chunks[slot/chunk][slot%chunk] }

// alloc is a free session, zero but for its slot: the one freed last, whose memory is warm.
func (t *table) alloc() *session {
	if len(t.freed) == 0 {
		base := uint32(len(t.chunks) * chunk)
		t.chunks = append(t.chunks, new([chunk]session))
		for i := uint32(chunk); i > 0; i-- {
			t.freed = append(t.freed, base+i-1)
		}
	}
	slot := t.freed[len(t.freed)-1]
	t.freed = t.freed[:len(t.freed)-1]
	s := t.at(slot)
	*s = session{slot: slot, used: true, up: -1, lane: -1, server: balance.None, known: balance.None}
	t.n++
	return s
}

// free gives back s, which is in no index and in no list.
func (t *table) free(s *session) {
	s.used = false
	t.freed = append(t.freed, s.slot)
	t.n--
}

// get is the session in slot; nil if there is none.
func (t *table) get(slot uint32) *session {
	if slot/chunk >= uint32(len(t.chunks)) || !t.at(slot).used {
		return nil
	}
	return t.at(slot)
}

// each calls f with every session. f may free it.
func (t *table) each(f func(*session)) {
	for _, c := range t.chunks {
		for i := range c {
			if c[i].used {
				f(&c[i])
			}
		}
	}
}

// link puts s, under hash, into index k.
func (t *table) link(k int, s *session, hash uint32) {
	t.index[k].grow(t, k)
	s.hash[k] = hash
	p := t.index[k].at(hash)
	s.next[k], *p = *p, s.slot+1
}

// unlink takes s out of index k.
func (t *table) unlink(k int, s *session) {
	t.index[k].n--
	p := t.index[k].at(s.hash[k])
	for *p != s.slot+1 {
		p = &t.at(*p - 1).next[k]
	}
	*p = s.next[k]
}

// findClient is the session of client, who wrote to local on down; nil if there is none.
func (t *table) findClient(hash uint32, down ring.Sock, client, local *sock.Endpoint) *session {
	for i := t.index[byClient].first(hash); i != 0; {
		s := t.at(i - 1)
		if s.hash[byClient] == hash && s.client == *client && s.local == *local && s.down == down {
			return s
		}
		i = s.next[byClient]
	}
	return nil
}

// findUp is the session that up-socket up serves with server to; nil if there is none.
func (t *table) findUp(hash uint32, up int32, to *sock.Endpoint) *session {
	for i := t.index[byUp].first(hash); i != 0; {
		s := t.at(i - 1)
		if s.hash[byUp] == hash && s.up == up && s.to == *to {
			return s
		}
		i = s.next[byUp]
	}
	return nil
}
