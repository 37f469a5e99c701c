package dsr

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/penlb/pen/dsr/wire"
)

// Slots is the length of the table: a prime, and large beside the number of servers, so that their shares differ by
// little (NSDI 2016, 3.4).
const Slots = 65537

// none is the server number of a slot that nobody has.
const none = 0xffff

// Keys of the hashes. They are fixed for ever: machines that share a VIP have to choose alike, also while they are
// being updated.
const (
	keyClient = 0x9ae16a3b2f90404f
	keyOffset = 0xc3a5c85c97cb3127
	keySkip   = 0xb492b66fbe98f273
	keySource = 0xd6e8feb86659fd93 // of the outer packets of tunnels
)

// mix is the finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of x moves every bit of it. It is
// plain 64-bit arithmetic that a program in the kernel can do too.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is that of an address and a port, which may be 0.
func hash(key uint64, a *wire.Addr, port uint16) uint64 {
	h := mix(key ^ binary.BigEndian.Uint64(a[:8]))
	h = mix(h ^ binary.BigEndian.Uint64(a[8:]))
	return mix(h ^ uint64(port))
}

// share is a server that takes part in the choice.
type share struct {
	Addr   wire.Addr
	Weight int
	Number uint16 // what the slots say
}

// fill makes the table of the shares, whose order does not matter: their addresses differ. Each walks along its own
// permutation of the slots and takes, when it is its turn, the next one that is free. A server whose weight is a part
// of the largest is given that part of the turns.
func fill(slots *[Slots]uint16, shares []share) {
	for i := range slots {
		slots[i] = none
	}
	if len(shares) == 0 {
		return
	}
	type walker struct {
		share
		next, skip, credit int
	}
	walkers := make([]walker, len(shares))
	heaviest := 1
	for i, s := range shares {
		s.Weight = min(max(s.Weight, 1), maxWeight)
		heaviest = max(heaviest, s.Weight)
		walkers[i] = walker{
			share: s,
			next:  int(hash(keyOffset, &s.Addr, 0) % Slots),
			skip:  int(hash(keySkip, &s.Addr, 0)%(Slots-1)) + 1,
		}
	}
	slices.SortFunc(walkers, func(x, y walker) int { return bytes.Compare(x.Addr[:], y.Addr[:]) })
	for i := range walkers {
		walkers[i].credit = heaviest - walkers[i].Weight // so that each has a turn at first, and a slot at least
	}
	for taken := 0; ; {
		for i := range walkers {
			w := &walkers[i]
			if w.credit += w.Weight; w.credit < heaviest {
				continue
			}
			w.credit -= heaviest
			for slots[w.next] != none {
				if w.next += w.skip; w.next >= Slots { // cheaper than a division
					w.next -= Slots
				}
			}
			slots[w.next] = w.Number
			if taken++; taken == Slots {
				return
			}
		}
	}
}

// maxWeight is the largest weight that makes a difference: one slot is the least share.
const maxWeight = Slots - 1
