package match

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// model is an Index by linear search.
type model []struct {
	key    uint64
	time   int64
	client string
}

func (m model) nearest(key uint64, time int64) (client string, distance int64, ok bool) {
	for _, e := range m {
		if e.key != key {
			continue
		}
		if d := max(e.time-time, time-e.time); !ok || d < distance {
			client, distance, ok = e.client, d, true
		}
	}
	return client, distance, ok
}

func (m model) newest(key uint64) (client string, ok bool) {
	for _, e := range m {
		if e.key == key {
			client, ok = e.client, true
		}
	}
	return client, ok
}

func TestIndexIsALinearSearchButFaster(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		if rapid.Bool().Draw(t, "wrap") { // numbers of entries pass 2^32, and chunks end
			x.base = 1<<32 - chunkLen
			x.head, x.tail = 1<<32-3, 1<<32-3
			x.chunks = []*chunk{{}}
		}
		var m model
		now := int64(1000)
		keys := rapid.Uint64Range(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "n") {
					now += rapid.Int64Range(0, 2).Draw(t, "step")
					key, client := keys.Draw(t, "key"), fmt.Sprint("c", len(m), "-", now)
					x.Add(key, now, []byte(client))
					m = append(m, struct {
						key    uint64
						time   int64
						client string
					}{key, now, client})
				}
			},
			"drop": func(t *rapid.T) {
				if len(m) > 0 {
					x.DropOldest()
					m = m[1:]
				}
			},
			"drop before": func(t *rapid.T) {
				before := now - rapid.Int64Range(-1, 60).Draw(t, "age")
				x.DropBefore(before)
				for len(m) > 0 && m[0].time < before {
					m = m[1:]
				}
			},
			"": func(t *rapid.T) {
				if x.Len() != len(m) {
					t.Fatalf("length %d, want %d", x.Len(), len(m))
				}
				key, time := keys.Draw(t, "key"), now-rapid.Int64Range(-3, 100).Draw(t, "ago")
				client, distance, ok := x.Nearest(key, time)
				wantClient, wantDistance, wantOK := m.nearest(key, time)
				if string(client) != wantClient || distance != wantDistance || ok != wantOK {
					t.Fatalf("Nearest(%d, %d) = %q %d %v, want %q %d %v", key, time, client, distance, ok,
						wantClient, wantDistance, wantOK)
				}
				client, ok = x.Newest(key)
				if wantClient, wantOK := m.newest(key); string(client) != wantClient || ok != wantOK {
					t.Fatalf("Newest(%d) = %q %v, want %q %v", key, client, ok, wantClient, wantOK)
				}
			},
		})
	})
}

// TestSearchIsLogarithmic counts the steps that a search takes in a list of many entries of one key, of which the
// older half have been dropped.
func TestSearchIsLogarithmic(t *testing.T) {
	t.Parallel()
	const n = 1 << 17
	x := NewIndex()
	for i := range int64(n) {
		x.Add(1, i, []byte("c"))
		if i >= n/2 {
			x.DropOldest()
		}
	}
	for _, target := range []int64{n / 2, n/2 + 1, n * 3 / 4, n - 1} {
		steps := 0
		for e := x.at(x.newest[1]); e != nil && e.time > target; steps++ {
			if far := x.at(e.jump); far != nil && far.time > target {
				e = far
			} else {
				e = x.at(e.prev)
			}
		}
		if steps > 100 {
			t.Errorf("%d steps to %d", steps, target)
		}
	}
}

func TestIndexGivesMemoryBack(t *testing.T) {
	t.Parallel()
	x := NewIndex()
	for i := range int64(20 * chunkLen) {
		x.Add(uint64(i), i, []byte("client"))
		x.DropBefore(i - 100)
	}
	if len(x.chunks) > 2 || len(x.newest) != x.Len() {
		t.Errorf("%d chunks and %d keys for %d entries", len(x.chunks), len(x.newest), x.Len())
	}
}
