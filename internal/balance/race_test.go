package balance

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Threads that pick in turn share one cycle: any number of picks divides evenly.
func TestRoundRobinIsGlobal(t *testing.T) {
	const threads, picks, n = 4, 3000, 7
	s := newService(t, nil, make([]Config, n)...)
	r := &Rules{RoundRobin: true}
	parallel(threads, func(int) {
		for range picks {
			s.Pick(r, &newcomer, now)
		}
	})
	var conns []int
	for i := range n {
		conns = append(conns, s.Conns(i))
	}
	if slices.Max(conns)-slices.Min(conns) > 1 {
		t.Errorf("connections: %v", conns)
	}
}

// However hard threads press, and whatever the others do, limits hold and all places come back.
func TestLimitsHoldInBursts(t *testing.T) {
	const threads, rounds, soft, hard = 4, 2000, 3, 5
	limits := Config{Max: soft, Hard: hard, Weight: 1}
	s := newService(t, nil, limits, limits)
	set(t, s, Emergency, Config{Max: 1})
	var inUse [2]atomic.Int64
	parallel(threads, func(id int) {
		r := &Rules{RoundRobin: true, Weight: id%2 == 0, Stubborn: id == 3}
		c := newcomer
		if id == 1 {
			c.Server = 0
		}
		var held []int
		for k := range rounds {
			i := s.Pick(r, &c, now)
			if i == 0 && k%3 == 0 {
				s.Release(i)
				s.Fail(i, now)
				i = s.Next(r, &c, i, i, now)
			}
			if i >= 0 && inUse[i].Add(1) > hard {
				t.Errorf("server %d is beyond its hard limit", i)
			}
			if i != None {
				held = append(held, i)
			}
			if i == None || k%5 == 0 {
				for _, i := range held {
					if i >= 0 {
						inUse[i].Add(-1)
					}
					s.Release(i)
				}
				held = held[:0]
			}
		}
		for _, i := range held {
			if i >= 0 {
				inUse[i].Add(-1)
			}
			s.Release(i)
		}
	}, func() { // the control side, meanwhile
		for i := range 300 {
			limits.Prio = i
			set(t, s, i%2, limits)
			set(t, s, 2+i, Config{Max: -1, Weight: 1})
			s.SetBlacklist(&Rules{}, i%2, 0, now)
		}
	})
	for i := range s.Len() {
		if s.Conns(i) != 0 {
			t.Errorf("server %d keeps %d places", i, s.Conns(i))
		}
	}
	if s.Conns(Emergency) != 0 {
		t.Errorf("the emergency server keeps %d places", s.Conns(Emergency))
	}
}

// Exactly the soft limit is admitted of a burst of new clients.
func TestBurstFillsExactly(t *testing.T) {
	const threads, soft = 8, 3
	for range 200 {
		s := newService(t, nil, Config{Max: soft})
		var admitted atomic.Int64
		parallel(threads, func(int) {
			if s.Pick(&Rules{}, &newcomer, now) == 0 {
				admitted.Add(1)
			}
		})
		if admitted.Load() != soft || s.Conns(0) != soft {
			t.Fatalf("%d of %d clients admitted, %d places taken, want %d", admitted.Load(), threads, s.Conns(0), soft)
		}
	}
}

// parallel runs threads copies of f, and others beside them, and waits for all.
func parallel(threads int, f func(id int), others ...func()) {
	var wg sync.WaitGroup
	for id := range threads {
		wg.Go(func() { f(id) })
	}
	for _, other := range others {
		wg.Go(other)
	}
	wg.Wait()
}
