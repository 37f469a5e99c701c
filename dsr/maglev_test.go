package dsr

import (
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/penlb/pen/dsr/wire"
)

func equals(n int) (list []share) {
	for i := range n {
		list = append(list, share{Addr: wire.AddrFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})), Weight: 1, Number: uint16(i)})
	}
	return list
}

func slotsOf(shares []share) *[Slots]uint16 {
	t := new([Slots]uint16)
	fill(t, shares)
	return t
}

func census(t *[Slots]uint16) map[uint16]int {
	m := map[uint16]int{}
	for _, s := range t {
		m[s]++
	}
	return m
}

func TestSharesAreEqual(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 10, 100, 600} {
		have := census(slotsOf(equals(n)))
		if len(have) != n || have[none] != 0 {
			t.Fatalf("%d servers have slots, want %d", len(have), n)
		}
		for s, c := range have {
			if c < Slots/n || c > Slots/n+1 {
				t.Errorf("%d servers: %d has %d slots", n, s, c)
			}
		}
	}
	if have := census(slotsOf(nil)); have[none] != Slots {
		t.Errorf("without servers %v", have)
	}
}

func TestSharesFollowWeights(t *testing.T) {
	t.Parallel()
	list := equals(4)
	for i, w := range []int{1, 2, 3, 0} { // 0 counts as 1
		list[i].Weight = w
	}
	have := census(slotsOf(list))
	for i, want := range []int{1, 2, 3, 1} {
		if got := have[uint16(i)]; got < want*Slots/7-1 || got > want*Slots/7+3 {
			t.Errorf("server %d has %d slots, want %d", i, got, want*Slots/7)
		}
	}
	list[1].Weight = 1 << 30
	if have := census(slotsOf(list)); have[0] != 1 || have[3] != 1 || have[1] < Slots-10 {
		t.Errorf("one very heavy server: %v", have)
	}
}

// Several machines choose alike, whatever the order in which they know the servers, today and after an update: the
// sums below may never change.
func TestChoiceIsFixed(t *testing.T) {
	t.Parallel()
	list := equals(7)
	list[2].Weight = 3
	one := slotsOf(list)
	slices.Reverse(list)
	if *slotsOf(list) != *one {
		t.Error("the order of the servers matters")
	}
	sum := crc32.NewIEEE()
	for _, s := range one {
		sum.Write([]byte{byte(s)})
	}
	for i := range 1000 {
		a := wire.AddrFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}))
		fmt.Fprint(sum, hash(keyClient, &a, uint16(i)))
	}
	if got := sum.Sum32(); got != choice {
		t.Errorf("table and hash are %#x, were %#x", got, choice)
	}
}

const choice uint32 = 0x8a6b954c

// A server that leaves takes few clients of the others with it, and one that comes gets its share.
func TestDisruption(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "servers")
		list := equals(n)
		for i := range list {
			list[i].Weight = rapid.IntRange(1, 3).Draw(t, "weight")
		}
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		before, after := slotsOf(list), slotsOf(slices.Delete(slices.Clone(list), gone, gone+1))
		moved := 0
		for i, s := range before {
			if after[i] == uint16(gone) {
				t.Fatal("a slot of a server that is gone")
			}
			if s != uint16(gone) && after[i] != s {
				moved++
			}
		}
		if limit := Slots * 4 / 100; moved > limit {
			t.Fatalf("%d of %d slots of others moved, want at most %d", moved, Slots, limit)
		}
	})
}

// Clients are spread evenly, with neighbouring addresses too.
func TestHashSpreads(t *testing.T) {
	t.Parallel()
	table := slotsOf(equals(4))
	for _, ports := range []bool{false, true} {
		var have [4]int
		for i := range 40000 {
			a := wire.AddrFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
			port := uint16(0)
			if ports {
				a, port = wire.AddrFrom(netip.MustParseAddr("10.1.1.1")), uint16(i)
			}
			have[table[hash(keyClient, &a, port)%Slots]]++
		}
		for s, n := range have {
			if n < 9500 || n > 10500 {
				t.Errorf("by port %v: server %d has %d of 40000", ports, s, n)
			}
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list, table := equals(n), new([Slots]uint16)
			for b.Loop() {
				fill(table, list)
			}
		})
	}
}
