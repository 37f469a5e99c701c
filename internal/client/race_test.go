package client

import (
	"math"
	"sync"
	"testing"
	"time"
)

// Threads share a table that grows, expires and is listed meanwhile; nothing is counted twice or lost.
func TestConcurrentUse(t *testing.T) {
	const threads, rounds, clients = 4, 3000, 500
	tb := New(clients)
	var wg sync.WaitGroup
	for id := range threads {
		wg.Go(func() {
			for k := range rounds {
				i := (k*7 + id) % clients
				r, _ := tb.Touch(addr(i), start, time.Hour)
				tb.SetServer(r, i, start)
				tb.Add(r, 1, 2)
				if got := tb.Server(r); got != i {
					t.Errorf("client %d is on server %d", i, got)
				}
			}
		})
	}
	wg.Go(func() {
		for _, size := range []int{1000, exactMax, 10000, 100000} {
			tb.Grow(size)
			for e := range tb.Recent(start, math.MaxInt64, 0) {
				if e.Index < 0 || !e.Addr.Is4() {
					t.Errorf("torn entry %+v", e)
				}
			}
		}
	})
	wg.Wait()

	var sum Entry
	n := 0
	for e := range tb.Recent(start, math.MaxInt64, 0) {
		sum.Connects += e.Connects
		sum.Sent += e.Sent
		sum.Received += e.Received
		n++
	}
	if n != clients || sum.Connects != threads*rounds || sum.Sent != threads*rounds || sum.Received != 2*threads*rounds {
		t.Errorf("%d clients with %+v in all", n, sum)
	}
}

// Eviction under pressure: references go stale at any moment, entries never tear.
func TestConcurrentEviction(t *testing.T) {
	const threads, rounds = 4, 3000
	tb := New(8)
	var wg sync.WaitGroup
	for id := range threads {
		wg.Go(func() {
			for k := range rounds {
				a := addr(id<<16 | k)
				r, server := tb.Touch(a, start+int64(k), 0)
				if server != -1 {
					t.Errorf("a new client is on server %d", server)
				}
				tb.SetServer(r, id, start+int64(k))
				if got := tb.Server(r); got != id && got != -1 {
					t.Errorf("the server of another client: %d", got)
				}
			}
		})
	}
	wg.Go(func() {
		for size := range 40 {
			tb.Grow(exactMax + size - 20)
			for e := range tb.Recent(start, math.MaxInt64, 0) {
				if want := int(e.Addr.As4()[1]); e.Server != want && e.Server != -1 {
					t.Errorf("torn entry %+v", e)
				}
			}
		}
	})
	wg.Wait()
}
