package match

import (
	"bytes"
	"hash/maphash"
)

// Index is a queue of entries of pen's log, newest at the tail, that finds entries of one key by time in logarithmic
// time. It is for one goroutine, and for at most 2^31 entries at once.
//
// Entries of one key form a list from new to old. Beside its predecessor each entry knows one farther back, such that
// the distances are those of a skew binary number: a search takes the far step when it can and the near one else
// (Myers, "An applicative random-access stack", 1983). An entry costs 32 bytes and its text, and contains no pointer,
// so that the garbage collector has no work with millions of them.
type Index struct {
	seed   maphash.Seed
	newest map[uint64]uint32 // by key: its last entry
	chunks []*chunk          // entries base to tail
	base   uint64            // number of the first entry of chunks[0]
	head   uint64            // number of the oldest entry
	tail   uint64            // number of the next entry
	text   []byte            // for Key
}

const chunkLen = 1 << 12 // entries allocated together

type chunk struct {
	entries [chunkLen]entry
	text    []byte // the clients, a newline after each
}

// entry refers to others by the low half of their number, and to itself for none. Whom it refers to was in the queue
// when it came, so that the distance fits.
type entry struct {
	key  uint64
	time int64
	prev uint32 // of the same key, before this one
	jump uint32 // of the same key, farther back
	hops uint32 // how many prev steps jump is; 0: none
	text uint32 // offset of the client in its chunk
}

// NewIndex is an empty index.
func NewIndex() *Index {
	return &Index{seed: maphash.MakeSeed(), newest: map[uint64]uint32{}}
}

// Key stands for server and request. Different ones have the same key with a chance of 2^-64.
func (x *Index) Key(server string, request []byte) uint64 {
	x.text = append(append(append(x.text[:0], server...), ' '), request...)
	return maphash.Bytes(x.seed, x.text)
}

// Len is the number of entries.
func (x *Index) Len() int { return int(x.tail - x.head) }

// Add adds an entry at the tail. The client is copied, and must not contain a newline. Entries of a key should come
// in order of time; Nearest may overlook an entry else.
func (x *Index) Add(key uint64, time int64, client []byte) {
	i := int(x.tail - x.base)
	if i == len(x.chunks)*chunkLen {
		x.chunks = append(x.chunks, &chunk{text: make([]byte, 0, 16*chunkLen)})
	}
	c := x.chunks[len(x.chunks)-1]
	e := &c.entries[i%chunkLen]
	self := uint32(x.tail)
	*e = entry{key: key, time: time, prev: self, jump: self, text: uint32(len(c.text))}
	c.text = append(append(c.text, client...), '\n')
	if prev, ok := x.newest[key]; ok {
		x.link(e, prev)
	}
	x.newest[key] = self
	x.tail++
}

// link puts e in front of the list that begins with prev.
func (x *Index) link(e *entry, prev uint32) {
	e.prev, e.jump, e.hops = prev, prev, 1
	p := x.at(prev)
	if far := x.at(p.jump); p.hops > 0 && far != nil && far.hops == p.hops && x.at(far.jump) != nil {
		e.jump, e.hops = far.jump, 1+p.hops+far.hops
	}
}

// at is the entry that ref refers to, or nil if it has left the queue.
func (x *Index) at(ref uint32) *entry {
	back := uint64(uint32(x.tail) - ref)
	if back == 0 || back > x.tail-x.head {
		return nil
	}
	i := x.tail - back - x.base
	return &x.chunks[i/chunkLen].entries[i%chunkLen]
}

// client is the text of the entry that ref refers to, which is in the queue.
func (x *Index) client(ref uint32) []byte {
	i := x.tail - uint64(uint32(x.tail)-ref) - x.base
	c := x.chunks[i/chunkLen]
	t := c.text[c.entries[i%chunkLen].text:]
	return t[:bytes.IndexByte(t, '\n')]
}

// DropOldest removes the entry at the head, which must exist.
func (x *Index) DropOldest() {
	e := x.at(uint32(x.head))
	if x.newest[e.key] == uint32(x.head) {
		delete(x.newest, e.key)
	}
	x.head++
	if x.head-x.base == chunkLen {
		x.chunks[0] = nil
		x.chunks = x.chunks[1:]
		x.base = x.head
	}
}

// DropBefore removes entries from the head while they are older than time.
func (x *Index) DropBefore(time int64) {
	for x.Len() > 0 && x.at(uint32(x.head)).time < time {
		x.DropOldest()
	}
}

// Newest is the client of the last entry with that key, valid until the next change.
func (x *Index) Newest(key uint64) (client []byte, ok bool) {
	ref, ok := x.newest[key]
	if !ok {
		return nil, false
	}
	return x.client(ref), true
}

// Nearest is the client of the entry with that key whose time is nearest, the first of them if there are several,
// and how far it is. The client is valid until the next change.
func (x *Index) Nearest(key uint64, time int64) (client []byte, distance int64, ok bool) {
	after, before := x.split(key, time)
	if before.entry != nil {
		distance = time - before.time
		if after.entry == nil || distance <= after.time-time {
			first, _ := x.split(key, before.time-1)
			return x.client(first.ref), distance, true
		}
	}
	if after.entry == nil {
		return nil, 0, false
	}
	return x.client(after.ref), after.time - time, true
}

// place is an entry in the queue, or none.
type place struct {
	*entry
	ref uint32
}

// split finds the oldest entry with that key that is later than time, and the one before it.
func (x *Index) split(key uint64, time int64) (after, before place) {
	ref, ok := x.newest[key]
	if !ok {
		return place{}, place{}
	}
	before = place{x.at(ref), ref}
	for before.entry != nil && before.time > time {
		after = before
		if far := x.at(after.jump); after.hops > 0 && far != nil && far.time > time {
			before = place{far, after.jump}
		} else if after.hops > 0 {
			before = place{x.at(after.prev), after.prev}
		} else {
			before = place{}
		}
	}
	return after, before
}
