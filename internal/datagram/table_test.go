package datagram

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

func TestMain(m *testing.M) { testnet.Main(m) }

func peer(i int) sock.Endpoint {
	return sock.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(i)))
}

// TestTable compares the table, and the list of a lane, with maps and a slice. Few different hashes make long chains.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type key struct {
			client int
			down   ring.Sock
		}
		var (
			tab    table
			l      lane
			model  = map[key]*session{}
			byUse  []*session
			hashes = uint32(rapid.SampledFrom([]int{1, 3, 1 << 20}).Draw(t, "hashes"))
			none   sock.Endpoint
		)
		hash := func(i int) uint32 { return uint32(i) * 2654435761 % hashes }
		draw := func() key {
			return key{rapid.IntRange(0, 600).Draw(t, "client"), ring.Sock(rapid.IntRange(1, 2).Draw(t, "down"))}
		}
		remove := func(s *session, k key) {
			tab.unlink(byClient, s)
			tab.unlink(byUp, s)
			l.remove(&tab, s)
			tab.free(s)
			delete(model, k)
			byUse = slices.DeleteFunc(byUse, func(x *session) bool { return x == s })
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin many": func(t *rapid.T) {
				for range 100 {
					k := draw()
					if model[k] != nil {
						continue
					}
					s := tab.alloc()
					s.client, s.down, s.up, s.to = peer(k.client), k.down, int32(k.client), peer(int(k.down))
					tab.link(byClient, s, hash(k.client))
					tab.link(byUp, s, hash(k.client+int(k.down)))
					l.push(&tab, s)
					model[k] = s
					byUse = append(byUse, s)
				}
			},
			"use": func(t *rapid.T) {
				if s := model[draw()]; s != nil {
					l.touch(&tab, s)
					byUse = append(slices.DeleteFunc(byUse, func(x *session) bool { return x == s }), s)
				}
			},
			"end": func(t *rapid.T) {
				if k := draw(); model[k] != nil {
					remove(model[k], k)
				}
			},
			"end the oldest": func(t *rapid.T) {
				for range min(50, len(byUse)) {
					s := tab.at(l.oldest - 1)
					if s != byUse[0] {
						t.Fatalf("oldest is %d, want %d", s.slot, byUse[0].slot)
					}
					for k, x := range model {
						if x == s {
							remove(s, k)
						}
					}
				}
			},
			"": func(t *rapid.T) {
				k := draw()
				c, to := peer(k.client), peer(int(k.down))
				if got := tab.findClient(hash(k.client), k.down, &c, &none); got != model[k] {
					t.Fatalf("by client %v: %v, want %v", k, got, model[k])
				}
				if got := tab.findUp(hash(k.client+int(k.down)), int32(k.client), &to); got != model[k] {
					t.Fatalf("by up-socket %v: %v, want %v", k, got, model[k])
				}
				n := 0
				tab.each(func(*session) { n++ })
				if n != len(model) || tab.n != n {
					t.Fatalf("%d sessions, counted %d, want %d", n, tab.n, len(model))
				}
				i := l.newest
				for _, want := range slices.Backward(byUse) {
					if i == 0 || tab.at(i-1) != want {
						t.Fatalf("the list by use is wrong")
					}
					i = want.older
				}
				if i != 0 {
					t.Fatal("the list by use goes on")
				}
			},
		})
	})
}

// TestIndexSpreads: chains stay short while the index grows.
func TestIndexSpreads(t *testing.T) {
	var tab table
	const n = 50_000
	for i := range n {
		s := tab.alloc()
		tab.link(byClient, s, uint32(i)*2654435761)
	}
	longest := 0
	for _, h := range tab.index[byClient].heads {
		length := 0
		for ; h != 0; h = tab.at(h - 1).next[byClient] {
			length++
		}
		longest = max(longest, length)
	}
	if got := len(tab.index[byClient].heads); got != n || longest > 12 {
		t.Errorf("%d buckets for %d sessions, %d in one", got, n, longest)
	}
}

func TestFifo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo
		var model []int32
		for i := range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				q.put(int32(i))
				model = append(model, int32(i))
				continue
			}
			got, ok := q.take()
			if ok != (len(model) > 0) || ok && got != model[0] {
				t.Fatalf("took %d, %v of %v", got, ok, model)
			}
			if ok {
				model = model[1:]
			}
		}
	})
}
