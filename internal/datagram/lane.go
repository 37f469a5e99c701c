package datagram

import (
	"net/netip"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// lane is the way to one server: the up-sockets that are free for it, and its sessions by use.
type lane struct {
	to     sock.Endpoint
	server int   // index of the server, when it was used last
	pool   *pool // nil until a source address is known
	looked int64 // when the source address was looked up

	freed fifo // up-sockets that had a session of this lane and have none
	next  int  // those of the pool from here on have had none yet

	newest, oldest uint32 // sessions, slot+1
	asked          int64  // when the first datagram was sent that nobody has had an answer since; 0: none
}

// push makes s the newest session of l.
func (l *lane) push(t *table, s *session) {
	s.newer, s.older = 0, l.newest
	if l.newest != 0 {
		t.at(l.newest - 1).newer = s.slot + 1
	} else {
		l.oldest = s.slot + 1
	}
	l.newest = s.slot + 1
}

// remove takes s out of the list of l.
func (l *lane) remove(t *table, s *session) {
	if s.newer != 0 {
		t.at(s.newer - 1).older = s.older
	} else {
		l.newest = s.older
	}
	if s.older != 0 {
		t.at(s.older - 1).newer = s.newer
	} else {
		l.oldest = s.newer
	}
}

// touch makes s, a session of l, the newest.
func (l *lane) touch(t *table, s *session) {
	if l.newest != s.slot+1 {
		l.remove(t, s)
		l.push(t, s)
	}
}

// forget makes l begin anew with pool p, none of whose sockets it has used.
func (l *lane) forget(p *pool) { l.pool, l.freed, l.next = p, fifo{}, 0 }

// pool is the up-sockets that are bound to one source address. All lanes of that source share it: a socket serves as
// many sessions as there are servers.
type pool struct {
	source netip.Addr
	ups    []int32 // indexes of up-sockets
}

// up is an up-socket. Its memory is used again once it is closed.
type up struct {
	sock     ring.Sock // 0: closed, for lack of descriptors
	pool     *pool     // nil: connected, for one session; or not used
	sessions int32
	closing  int32 // sockets of its whose end is awaited
}

// fifo is a queue of up-sockets.
type fifo struct {
	items []int32
	head  int
}

func (q *fifo) put(i int32) { q.items = append(q.items, i) }

func (q *fifo) take() (int32, bool) {
	if q.head == len(q.items) {
		return 0, false
	}
	i := q.items[q.head]
	if q.head++; q.head > len(q.items)/2 { // half of it is past: move the rest, which is no longer than that
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	return i, true
}
