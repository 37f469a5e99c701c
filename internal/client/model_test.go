package client

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// model is the table as a list from the least to the most recently used client.
type model struct {
	max     int
	clients []*modelClient
	fresh   int // lowest number never used
}

type modelClient struct {
	Entry
}

func (m *model) forget(i int) *modelClient {
	c := m.clients[i]
	m.clients = slices.Delete(m.clients, i, i+1)
	return c
}

func (m *model) touch(a netip.Addr, now int64, tracking time.Duration) *modelClient {
	expired := func(c *modelClient) bool { return tracking > 0 && c.LastUse < now-int64(tracking) }
	c := &modelClient{Entry: Entry{Addr: a, Server: -1}}
	i := slices.IndexFunc(m.clients, func(c *modelClient) bool { return c.Addr == a })
	switch {
	case i >= 0:
		old := m.forget(i)
		if c.Index = old.Index; !expired(old) {
			c = old
		}
	case len(m.clients) > 0 && (m.fresh == m.max || expired(m.clients[0])):
		c.Index = m.forget(0).Index
	default:
		c.Index = m.fresh
		m.fresh++
	}
	c.Connects++
	c.LastUse = now
	m.clients = append(m.clients, c)
	return c
}

// TestModel drives a Table of one shard and the model through the same random life.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{max: rapid.IntRange(1, 4).Draw(t, "max")}
		tb := New(m.max)
		now := start
		tracking := time.Duration(rapid.IntRange(0, 20).Draw(t, "tracking"))
		byRef := map[Ref]*modelClient{{}: nil} // every reference ever seen
		var refs = []Ref{{}}

		live := func(r Ref) *modelClient {
			if c := byRef[r]; slices.Contains(m.clients, c) {
				return c
			}
			return nil
		}
		touch := func(t *rapid.T) {
			a := addr(rapid.IntRange(0, 6).Draw(t, "client"))
			r, server := tb.Touch(a, now, tracking)
			c := m.touch(a, now, tracking)
			if server != c.Server || r.Index() != c.Index {
				t.Fatalf("%v is number %d on server %d, want %d on %d", a, r.Index(), server, c.Index, c.Server)
			}
			if old, ok := byRef[r]; ok && old != c {
				t.Fatalf("%v means two clients", r)
			} else if !ok {
				byRef[r] = c
				refs = append(refs, r)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"touch":    touch,
			"touch it": touch,
			"wait":     func(t *rapid.T) { now += rapid.Int64Range(1, 10).Draw(t, "ns") },
			"tracking": func(t *rapid.T) { tracking = time.Duration(rapid.IntRange(0, 20).Draw(t, "tracking")) },
			"grow": func(t *rapid.T) {
				n := rapid.IntRange(0, 7).Draw(t, "max")
				tb.Grow(n)
				m.max = max(m.max, n)
			},
			"server": func(t *rapid.T) {
				r, server := rapid.SampledFrom(refs).Draw(t, "ref"), rapid.IntRange(-3, 5).Draw(t, "server")
				tb.SetServer(r, server, now)
				if c := live(r); c != nil {
					c.Server, c.LastUse = server, now
					m.clients = append(m.clients, m.forget(slices.Index(m.clients, c)))
				}
			},
			"add": func(t *rapid.T) {
				r, n := rapid.SampledFrom(refs).Draw(t, "ref"), rapid.Uint64Max(100).Draw(t, "bytes")
				tb.Add(r, n, 2*n)
				if c := live(r); c != nil {
					c.Sent += n
					c.Received += 2 * n
				}
			},
			"": func(t *rapid.T) {
				within := time.Duration(math.MaxInt64)
				if rapid.Bool().Draw(t, "some") {
					within = time.Duration(rapid.IntRange(0, 20).Draw(t, "within"))
				}
				var want []Entry
				for _, c := range m.clients {
					if age := time.Duration(now - c.LastUse); age <= within && (tracking == 0 || age <= tracking) {
						want = append(want, c.Entry)
					}
				}
				slices.SortFunc(want, func(a, b Entry) int { return a.Index - b.Index })
				got := slices.Collect(tb.Recent(now, within, tracking))
				if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Fatal(diff)
				}
			},
		})
	})
}
