package client

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// entry is one client. It has no pointers, so that the garbage collector need not look at a million of them.
type entry struct {
	addr [16]byte
	hash atomic.Uint64 // of addr, tells the owning shard; 0: never used

	// Guarded by the lock of the owning shard, under which hash is written too. Only Grow moves an entry to another.
	lastUse  int64
	connects uint64
	sent     uint64 // bytes to the client
	received uint64 // bytes from the client
	server   int32
	gen      uint32 // tells the present client from those before it
	newer    slot   // neighbours in the list by use
	older    slot
	next     slot // in the bucket
	family   family
}

// family tells what addr is.
type family uint8

const (
	unix family = iota // addr is zero
	ipv4               // addr is the IPv4-mapped form
	ipv6
)

// key is an address as the table compares it. An IPv4 client is the same on an IPv6 listener; a zone does not count.
type key struct {
	addr   [16]byte
	family family
}

func keyOf(a netip.Addr) key {
	k := key{addr: a.As16()}
	switch {
	case a.Is4(), a.Is4In6():
		k.family = ipv4
	case a.IsValid():
		k.family = ipv6
	}
	return k
}

func (e *entry) netip() netip.Addr {
	if e.family == unix {
		return netip.Addr{}
	}
	return netip.AddrFrom16(e.addr).Unmap()
}

// reset makes e a client of whom nothing is known yet.
func (e *entry) reset(k key, hash uint64, now int64) {
	e.hash.Store(hash)
	e.addr, e.family = k.addr, k.family
	e.gen++
	e.server = noServer
	e.lastUse = now
	e.connects, e.sent, e.received = 0, 0, 0
}

func (e *entry) expired(now int64, tracking time.Duration) bool {
	return expired(e.lastUse, now, tracking)
}

// expired reports whether a client last used then is forgotten now.
func expired(lastUse, now int64, tracking time.Duration) bool {
	return tracking > 0 && now-lastUse > int64(tracking)
}

// slot is the position of an entry plus one; zero is none.
type slot uint32

const chunkLen = 1024 // entries; 80 KiB

type chunk [chunkLen]entry

// slab is the storage of the entries. Growing it does not disturb those who read it.
type slab struct {
	dir  atomic.Pointer[[]atomic.Pointer[chunk]]
	used atomic.Uint32 // entries handed out; they are never given back
	max  uint32        // guarded by the lock of any shard for reading, of all shards for writing
}

func (s *slab) at(n slot) *entry {
	n--
	return &(*s.dir.Load())[n/chunkLen].Load()[n%chunkLen]
}

// alloc is the lowest entry never used so far, or zero when all are. The caller holds the lock of a shard.
func (s *slab) alloc() slot {
	for {
		n := s.used.Load()
		if n >= s.max {
			return 0
		}
		if p := &(*s.dir.Load())[n/chunkLen]; p.Load() == nil {
			p.CompareAndSwap(nil, new(chunk)) // another shard may have been faster
		}
		if s.used.CompareAndSwap(n, n+1) {
			return slot(n + 1)
		}
	}
}

// grow makes room for max entries. The caller holds the locks of all shards.
func (s *slab) grow(max uint32) {
	dir := make([]atomic.Pointer[chunk], (max+chunkLen-1)/chunkLen)
	if old := s.dir.Load(); old != nil {
		for i := range *old {
			dir[i].Store((*old)[i].Load())
		}
	}
	s.dir.Store(&dir)
	s.max = max
}
