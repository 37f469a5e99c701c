package proxy

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/penlb/pen/ring"
)

// TestNumbers compares with a plain set: the lowest free number below the limit is next.
func TestNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ns numbers
		limit := rapid.IntRange(0, 300).Draw(t, "limit")
		ns.setLimit(limit)
		used := map[int]owner{}
		take := func() {
			want := 0
			for _, ok := used[want]; ok; _, ok = used[want] {
				want++
			}
			if len(used) >= limit || want >= limit {
				want = -1
			}
			o := owner{int32(len(used)), uint32(want)}
			if got := ns.take(o); got != want {
				t.Fatalf("took %d, want %d of %d", got, want, limit)
			}
			if want >= 0 {
				used[want] = o
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(*rapid.T) { take() },
			"take many": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					take()
				}
			},
			"put": func(t *rapid.T) {
				if len(used) == 0 {
					t.Skip("none")
				}
				n := rapid.SampledFrom(keys(used)).Draw(t, "n")
				delete(used, n)
				ns.put(n)
			},
			"limit": func(t *rapid.T) {
				limit = rapid.IntRange(0, 300).Draw(t, "limit")
				ns.setLimit(limit)
			},
			"": func(t *rapid.T) {
				if n, free := ns.used(); n != len(used) || free != (n < limit) {
					t.Fatalf("%d used, free %v; want %d of %d", n, free, len(used), limit)
				}
				n := rapid.IntRange(-1, 400).Draw(t, "find")
				want, ok := used[n]
				if got, found := ns.find(n); found != ok || got != want {
					t.Fatalf("find(%d) = %v, %v; want %v, %v", n, got, found, want, ok)
				}
			},
		})
	})
}

// keys are the keys of m, in order.
func keys(m map[int]owner) (ks []int) {
	for n := 0; len(ks) < len(m); n++ {
		if _, ok := m[n]; ok {
			ks = append(ks, n)
		}
	}
	return ks
}

func TestNumbersManyWords(t *testing.T) {
	const n = 64*64*2 + 5 // more than two words of full
	var ns numbers
	ns.setLimit(n)
	for i := range n {
		if got := ns.take(owner{slot: uint32(i)}); got != i {
			t.Fatalf("took %d, want %d", got, i)
		}
	}
	for _, i := range []int{n - 1, 4096, 4095, 63, 64, 0} {
		ns.put(i)
		if got := ns.take(owner{}); got != i {
			t.Errorf("took %d, want %d", got, i)
		}
	}
	if got := ns.take(owner{}); got != -1 {
		t.Errorf("took %d beyond the limit", got)
	}
}

// TestSlabGenerations fills more than one chunk of a slab and looks sessions up by the tokens of all their lives: only the present one is found.
func TestSlabGenerations(t *testing.T) {
	var sl slab
	old := map[ring.Token]bool{}
	var all []*session
	for range 300 {
		s := sl.get()
		s.state = relaying
		all = append(all, s)
	}
	for range 5 {
		for i, s := range all {
			if got := sl.lookup(s.token()); got != s {
				t.Fatalf("slot %d: its token finds %v", s.slot, got)
			}
			old[s.token()] = true
			sl.put(s)
			if sl.n != len(all)-1 {
				t.Fatalf("%d in use, want %d", sl.n, len(all)-1)
			}
			all[i] = sl.get()
			all[i].state = relaying
			if all[i].number != -1 || all[i].relay.Bytes(0) != 0 {
				t.Fatalf("slot %d is not clean: %+v", s.slot, all[i])
			}
		}
	}
	for tok := range old {
		if s := sl.lookup(tok); s != nil {
			t.Fatalf("a token of an earlier life finds slot %d", s.slot)
		}
	}
	// The generation wraps around without touching the token's class or slot.
	s := all[3]
	s.gen = genMask
	last := s.token()
	sl.put(s)
	if s = sl.get(); s.gen != 0 || s.token().Class() != classSession || sl.lookup(last) != nil {
		t.Errorf("after the last generation: %d, class %d", s.gen, s.token().Class())
	}
}
