package datagram

import "math/bits"

// index is a hash table with chains, which grows by linear hashing (Litwin, 1980): each insertion adds a bucket at
// most, and shares the sessions of one bucket with it. Nobody ever waits for a table to be filed anew.
type index struct {
	heads []uint32 // slot+1 of the first in each bucket
	n     int
}

// mask is the smallest that covers n buckets.
func mask(n int) uint32 { return 1<<bits.Len32(uint32(n-1)) - 1 }

// at is where the chain of hash begins; the index is not empty.
func (x *index) at(hash uint32) *uint32 {
	m := mask(len(x.heads))
	b := hash & m
	if b >= uint32(len(x.heads)) { // not split yet: its sessions are still with its sibling
		b &= m >> 1
	}
	return &x.heads[b]
}

// first is the first session of the chain of hash, slot+1; 0 if there is none.
func (x *index) first(hash uint32) uint32 {
	if len(x.heads) == 0 {
		return 0
	}
	return *x.at(hash)
}

// grow makes room for one more in index k of t.
func (x *index) grow(t *table, k int) {
	x.n++
	n := len(x.heads)
	if x.n <= n {
		return
	}
	x.heads = append(x.heads, 0)
	m := mask(n + 1)
	from := uint32(n) & (m >> 1)
	if from == uint32(n) {
		return // the first
	}
	p := &x.heads[from]
	for *p != 0 {
		s := t.at(*p - 1)
		if s.hash[k]&m != uint32(n) {
			p = &s.next[k]
			continue
		}
		*p, s.next[k], x.heads[n] = s.next[k], x.heads[n], s.slot+1
	}
}
