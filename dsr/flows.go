package dsr

import (
	"hash/maphash"
	"sync"

	"github.com/penlb/pen/dsr/wire"
)

// flowKey is one direction of a connection, or the fragments of one datagram: 40 bytes without padding of the compiler.
type flowKey struct {
	Client, VIP wire.Addr
	Ports       uint32 // source in the upper half; or the identification of a fragment
	Proto       uint8
	Fragments   uint8 // 1: Ports is the identification
	_           uint16
}

func ports(src, dst uint16) uint32 { return uint32(src)<<16 | uint32(dst) }

// place is where a flow goes. Generation tells a server from a later one of the same number.
type place struct {
	Server     uint16
	Generation uint32
}

const flowShards = 64 // locks, so that the threads rarely meet

// flowTable remembers the flows used last. Their number is bounded, and a flood of new ones displaces old ones at
// worst, which then go where the hash says: almost always the same way. Threads share the table, since fragments and
// ICMP errors of a flow may arrive on another one.
type flowTable struct {
	seed   maphash.Seed
	shards [flowShards]flowShard
}

func newFlowTable(size int) *flowTable {
	t := &flowTable{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].init(max(1, size/flowShards))
	}
	return t
}

// shard is the one that k belongs to, with the hash to use in it. The seed differs from process to process, so that
// nobody can choose keys that collide.
func (t *flowTable) shard(k *flowKey) (*flowShard, uint32) {
	h := maphash.Comparable(t.seed, *k)
	return &t.shards[h>>32%flowShards], uint32(h)
}

// flowShard is a hash table with chains and a list in order of use, all by number into one array.
type flowShard struct {
	mu sync.Mutex

	// guarded by mu
	heads  []int32 // first entry of each chain
	flows  []flow
	used   int32 // entries [0, used) are in use
	newest int32
	oldest int32
	_      [16]byte
}

type flow struct {
	key          flowKey
	place        place
	hash         uint32
	next         int32 // in the chain
	newer, older int32
}

const nil32 = -1

func (s *flowShard) init(size int) {
	chains := 1
	for chains < size {
		chains *= 2
	}
	s.heads, s.flows = make([]int32, chains), make([]flow, size)
	for i := range s.heads {
		s.heads[i] = nil32
	}
	s.newest, s.oldest = nil32, nil32
}

// find is the entry of k, which becomes the newest, or nil. The caller holds mu and keeps it while it uses the entry.
func (s *flowShard) find(k *flowKey, h uint32) *flow {
	for i := s.heads[s.chain(h)]; i != nil32; i = s.flows[i].next {
		if f := &s.flows[i]; f.hash == h && f.key == *k {
			s.touch(i)
			return f
		}
	}
	return nil
}

// add makes an entry for k, which has none, in the place of the oldest if there is no room. The caller holds mu.
func (s *flowShard) add(k *flowKey, h uint32, p place) {
	i := s.used
	if int(i) < len(s.flows) {
		s.used++
	} else {
		i = s.oldest
		s.unlink(i)
		s.unchain(i)
	}
	c := s.chain(h)
	s.flows[i] = flow{key: *k, place: p, hash: h, next: s.heads[c]}
	s.heads[c] = i
	s.link(i)
}

func (s *flowShard) chain(h uint32) uint32 { return h & uint32(len(s.heads)-1) }

func (s *flowShard) unchain(i int32) {
	p := &s.heads[s.chain(s.flows[i].hash)]
	for *p != i {
		p = &s.flows[*p].next
	}
	*p = s.flows[i].next
}

func (s *flowShard) touch(i int32) {
	if s.newest != i {
		s.unlink(i)
		s.link(i)
	}
}

// link makes i the newest.
func (s *flowShard) link(i int32) {
	f := &s.flows[i]
	f.newer, f.older = nil32, s.newest
	if s.newest != nil32 {
		s.flows[s.newest].newer = i
	} else {
		s.oldest = i
	}
	s.newest = i
}

func (s *flowShard) unlink(i int32) {
	f := &s.flows[i]
	if f.newer != nil32 {
		s.flows[f.newer].older = f.older
	} else {
		s.newest = f.older
	}
	if f.older != nil32 {
		s.flows[f.older].newer = f.newer
	} else {
		s.oldest = f.newer
	}
}
