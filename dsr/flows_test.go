package dsr

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFlowsAgainstModel compares a shard with a list that is kept in order of use.
func TestFlowsAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 9).Draw(t, "size")
		var s flowShard
		s.init(size)
		type known struct {
			key   flowKey
			place place
		}
		var model []known // oldest first
		key := rapid.Custom(func(t *rapid.T) flowKey { return flowKey{Ports: rapid.Uint32Range(0, 14).Draw(t, "key")} })
		hash := func(k *flowKey) uint32 { return k.Ports % 3 } // they collide
		t.Repeat(map[string]func(*rapid.T){
			"use": func(t *rapid.T) {
				k := key.Draw(t, "flow")
				p := place{Server: rapid.Uint16().Draw(t, "server")}
				i := slices.IndexFunc(model, func(m known) bool { return m.key == k })
				f := s.find(&k, hash(&k))
				switch {
				case (f != nil) != (i >= 0):
					t.Fatalf("found %v, want %v", f, i >= 0)
				case f != nil:
					if f.place != model[i].place || f.key != k {
						t.Fatalf("found %+v, want %+v", f, model[i])
					}
					m := model[i]
					model = append(slices.Delete(model, i, i+1), m)
				default:
					s.add(&k, hash(&k), p)
					if len(model) == size {
						model = model[1:]
					}
					model = append(model, known{k, p})
				}
			},
			"": func(t *rapid.T) {
				n := 0
				for i, last := s.newest, int32(nil32); i != nil32; i, last = s.flows[i].older, i {
					if s.flows[i].newer != last || s.flows[i].key != model[len(model)-1-n].key {
						t.Fatalf("entry %d of the order of use is %+v", n, s.flows[i])
					}
					n++
				}
				if n != len(model) {
					t.Fatalf("%d flows, want %d", n, len(model))
				}
			},
		})
	})
}

func TestFlowTableIsBounded(t *testing.T) {
	t.Parallel()
	const size = 10 * flowShards
	table := newFlowTable(size)
	for i := range uint32(100 * size) {
		k := flowKey{Ports: i}
		s, h := table.shard(&k)
		if s.find(&k, h) != nil {
			t.Fatal("a flow that never was")
		}
		s.add(&k, h, place{Server: 1})
	}
	sum := 0
	for i := range table.shards {
		sum += int(table.shards[i].used)
	}
	if sum != size {
		t.Errorf("%d flows, want %d", sum, size)
	}
}
