package client

import (
	"math/bits"
	"sync"
)

// shard holds the clients whose hashes fall to it.
type shard struct {
	mu sync.Mutex

	// guarded by mu
	buckets        []slot // length is a power of two
	newest, oldest slot

	_ [16]byte // a cache line of its own
}

// bucket is where the chain of hash begins. Its lowest bits have already chosen the shard.
func (s *shard) bucket(hash uint64) *slot {
	return &s.buckets[hash/numShards&uint64(len(s.buckets)-1)]
}

// find is the entry of client k, or zero.
func (s *shard) find(sl *slab, k key, hash uint64) slot {
	for n := *s.bucket(hash); n != 0; {
		e := sl.at(n)
		if e.hash.Load() == hash && e.addr == k.addr && e.family == k.family {
			return n
		}
		n = e.next
	}
	return 0
}

// clear forgets all clients and returns the oldest, from where the others can still be followed.
func (s *shard) clear() slot {
	oldest := s.oldest
	s.newest, s.oldest = 0, 0
	clear(s.buckets)
	return oldest
}

// insert adds entry n, whose hash is set, as the newest.
func (s *shard) insert(sl *slab, n slot) {
	s.chain(sl, n)
	s.push(sl, n)
}

// remove takes entry n out.
func (s *shard) remove(sl *slab, n slot) {
	s.unlink(sl, n)
	e := sl.at(n)
	p := s.bucket(e.hash.Load())
	for *p != n {
		p = &sl.at(*p).next
	}
	*p = e.next
}

// touch makes entry n the newest.
func (s *shard) touch(sl *slab, n slot) {
	if s.newest == n {
		return
	}
	s.unlink(sl, n)
	s.push(sl, n)
}

func (s *shard) chain(sl *slab, n slot) {
	e := sl.at(n)
	p := s.bucket(e.hash.Load())
	e.next, *p = *p, n
}

func (s *shard) push(sl *slab, n slot) {
	e := sl.at(n)
	e.newer, e.older = 0, s.newest
	if s.newest != 0 {
		sl.at(s.newest).newer = n
	} else {
		s.oldest = n
	}
	s.newest = n
}

func (s *shard) unlink(sl *slab, n slot) {
	e := sl.at(n)
	if e.newer != 0 {
		sl.at(e.newer).older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != 0 {
		sl.at(e.older).newer = e.newer
	} else {
		s.oldest = e.newer
	}
}

// resize gives the shard buckets for max clients.
func (s *shard) resize(sl *slab, max int) {
	s.buckets = make([]slot, 1<<bits.Len(uint(max-1)))
	for n := s.newest; n != 0; n = sl.at(n).older {
		s.chain(sl, n)
	}
}
