package client

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limit bounds the size of a table: `clients_max 99999999` must not cost gigabytes. A larger size means this one.
const Limit = 1 << 24

const (
	exactMax  = 4096 // clients that share one shard
	numShards = 32   // in a larger table; a power of two
	noServer  = -1   // balance.None
)

// Table is the set of known clients. All methods may be called from any goroutine.
type Table struct {
	// constant after New
	seed maphash.Seed

	// Shards are locked in ascending order by those who need more than one.
	shards [numShards]shard
	mask   atomic.Uint64 // lowest bits of the hash that tell the shard; written with all shards locked
	slab   slab

	growing sync.Mutex // serializes Grow
	max     atomic.Uint32
}

// New is a table for max clients, at least 1 and at most Limit.
func New(max int) *Table {
	t := &Table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].buckets = make([]slot, 1)
	}
	t.Grow(max)
	return t
}

// Max is the number of clients that the table has room for.
func (t *Table) Max() int { return int(t.max.Load()) }

// Grow makes room for size clients, if that is more than Max. References stay valid. Each shard in turn is closed to
// others while its clients are filed anew, some milliseconds when there are a million.
func (t *Table) Grow(size int) {
	t.growing.Lock()
	defer t.growing.Unlock()
	n := uint32(min(max(size, 1), Limit))
	if n <= t.max.Load() {
		return
	}
	t.max.Store(n)
	t.reserve(n)
	shards := int(t.mask.Load()) + 1
	for i := range shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.resize(&t.slab, (int(n)+shards-1)/shards)
		s.mu.Unlock()
	}
}

// reserve makes the slab large enough for n entries, and shares them among all shards if they are too many for one.
func (t *Table) reserve(n uint32) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		defer t.shards[i].mu.Unlock()
	}
	t.slab.grow(n)
	if n <= exactMax || t.mask.Load() != 0 {
		return
	}
	oldest := t.shards[0].clear()
	t.mask.Store(numShards - 1)
	for i := oldest; i != 0; {
		e := t.slab.at(i)
		newer := e.newer
		t.shard(e.hash.Load()).insert(&t.slab, i)
		i = newer
	}
}

func (t *Table) shard(hash uint64) *shard { return &t.shards[hash&t.mask.Load()] }

// lock locks the shard of hash.
func (t *Table) lock(hash uint64) *shard {
	for {
		s := t.shard(hash)
		s.mu.Lock()
		if s == t.shard(hash) {
			return s
		}
		s.mu.Unlock()
	}
}

// lockEntry locks the shard that owns entry n, which has been used.
func (t *Table) lockEntry(n slot) (*shard, *entry) {
	e := t.slab.at(n)
	for {
		s := t.lock(e.hash.Load())
		if s == t.shard(e.hash.Load()) {
			return s, e
		}
		s.mu.Unlock()
	}
}

// hash is keyed, so that nobody can choose addresses that collide, and never zero.
func (t *Table) hash(k key) uint64 { return maphash.Bytes(t.seed, k.addr[:]) | 1<<63 }

// Ref refers to a client in its table. The zero Ref refers to none, and neither does one whose client had to make
// room for another or has expired and come back: what is done through them is ignored.
type Ref struct {
	slot slot
	gen  uint32
}

// Index is the number of the client that pen shows, or -1 for none. The first client is 0; numbers of forgotten
// clients are used again.
func (r Ref) Index() int { return int(r.slot) - 1 }

// Touch finds client a, or makes it known, and counts one connect. An invalid address is that of all Unix clients.
// The server is the remembered one, or -1 if the client is new, which it is again once it has not been used for
// longer than tracking; a tracking time of 0 never ends.
//
// The Ref is zero in one case: if a large table is full and none of its clients share the shard of a.
//
// pen: finds a returning client before it looks at the time, so that tracking ended only when others came.
func (t *Table) Touch(a netip.Addr, now int64, tracking time.Duration) (Ref, int) {
	k := keyOf(a)
	hash := t.hash(k)
	s := t.lock(hash)
	defer s.mu.Unlock()
	n := s.find(&t.slab, k, hash)
	if n != 0 {
		s.touch(&t.slab, n)
		if e := t.slab.at(n); e.expired(now, tracking) {
			e.reset(k, hash, now)
		}
	} else {
		if n = t.room(s, now, tracking); n == 0 {
			return Ref{}, noServer
		}
		t.slab.at(n).reset(k, hash, now)
		s.insert(&t.slab, n)
	}
	e := t.slab.at(n)
	e.connects++
	e.lastUse = max(e.lastUse, now)
	return Ref{n, e.gen}, int(e.server)
}

// room is an entry for a new client of s, or zero: that of an expired client, a fresh one, or that of the client
// used least recently.
func (t *Table) room(s *shard, now int64, tracking time.Duration) slot {
	n := s.oldest
	if n == 0 || !t.slab.at(n).expired(now, tracking) {
		if fresh := t.slab.alloc(); fresh != 0 {
			return fresh
		}
	}
	if n != 0 {
		s.remove(&t.slab, n)
	}
	return n
}

// SetServer remembers where client r was served, and counts as a use. A negative server is none.
func (t *Table) SetServer(r Ref, server int, now int64) {
	if s, e := t.lockRef(r); e != nil {
		e.server = int32(server)
		e.lastUse = max(e.lastUse, now)
		s.touch(&t.slab, r.slot)
		s.mu.Unlock()
	}
}

// Server is the remembered server of client r, or -1.
func (t *Table) Server(r Ref) int {
	s, e := t.lockRef(r)
	if e == nil {
		return noServer
	}
	defer s.mu.Unlock()
	return int(e.server)
}

// Add counts bytes sent to client r and received from it.
func (t *Table) Add(r Ref, toClient, fromClient uint64) {
	if s, e := t.lockRef(r); e != nil {
		e.sent += toClient
		e.received += fromClient
		s.mu.Unlock()
	}
}

// lockRef locks the shard that owns the entry of r. The entry is nil, and nothing locked, if r refers to none.
func (t *Table) lockRef(r Ref) (*shard, *entry) {
	if r.slot == 0 {
		return nil, nil
	}
	s, e := t.lockEntry(r.slot)
	if e.gen != r.gen {
		s.mu.Unlock()
		return nil, nil
	}
	return s, e
}
