package proxy

import (
	"math/bits"
	"sync"
)

// numbers hands out connection numbers, lowest free first, as pen's connection table does. It is shared by all
// workers: its lock is held for some tens of nanoseconds, twice per connection.
type numbers struct {
	mu    sync.Mutex
	limit int      // numbers are below it
	n     int      // in use
	words []uint64 // bit set: in use
	full  []uint64 // bit set: that word is all ones
	owner []owner
}

// owner is the session that holds a number.
type owner struct {
	worker int32
	slot   uint32
}

func (ns *numbers) setLimit(n int) {
	ns.mu.Lock()
	ns.limit = n
	ns.mu.Unlock()
}

// take gives the lowest free number to o; -1 when all below the limit are in use.
func (ns *numbers) take(o owner) int {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.n >= ns.limit {
		return -1
	}
	w := len(ns.words)
	for i, f := range ns.full {
		if f != ^uint64(0) {
			w = i<<6 + bits.TrailingZeros64(^f)
			break
		}
	}
	if w >= len(ns.words) {
		w = len(ns.words)
		ns.words = append(ns.words, 0)
		ns.owner = append(ns.owner, make([]owner, 64)...)
		if w>>6 == len(ns.full) {
			ns.full = append(ns.full, 0)
		}
	}
	b := bits.TrailingZeros64(^ns.words[w])
	n := w<<6 + b
	if n >= ns.limit { // the limit was lowered below numbers in use
		return -1
	}
	ns.words[w] |= 1 << b
	if ns.words[w] == ^uint64(0) {
		ns.full[w>>6] |= 1 << (w & 63)
	}
	ns.owner[n] = o
	ns.n++
	return n
}

// put frees number n.
func (ns *numbers) put(n int) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	w := n >> 6
	ns.words[w] &^= 1 << (n & 63)
	ns.full[w>>6] &^= 1 << (w & 63)
	ns.n--
}

// find tells who holds number n.
func (ns *numbers) find(n int) (owner, bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if n < 0 || n>>6 >= len(ns.words) || ns.words[n>>6]&(1<<(n&63)) == 0 {
		return owner{}, false
	}
	return ns.owner[n], true
}

// used is how many numbers are taken, and free whether there are more.
func (ns *numbers) used() (n int, free bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.n, ns.n < ns.limit
}
