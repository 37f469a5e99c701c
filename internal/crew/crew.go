package crew

import (
	"sync"

	"github.com/penlb/pen/ring"
)

// Crew is the workers of a service. The zero Crew has none. They are added before the loops run, and stay.
type Crew[W any] struct {
	workers []W
	loops   []ring.Loop
}

// Add adds w, whose loop is l, and yields its index.
func (c *Crew[W]) Add(l ring.Loop, w W) int {
	c.workers, c.loops = append(c.workers, w), append(c.loops, l)
	return len(c.workers) - 1
}

// Len is how many workers there are.
func (c *Crew[W]) Len() int { return len(c.workers) }

// All are the workers by index. The slice belongs to the crew.
func (c *Crew[W]) All() []W { return c.workers }

// Post has f run on every loop, at its next turn.
func (c *Crew[W]) Post(f func(W)) {
	for i, w := range c.workers {
		c.loops[i].Post(func() { f(w) })
	}
}

// Each runs f on every loop that has not stopped, on several at a time, and waits for all. Not to be called on a loop.
func (c *Crew[W]) Each(f func(W)) {
	var wg sync.WaitGroup
	for i, w := range c.workers {
		wg.Add(1)
		if !c.loops[i].Post(func() { defer wg.Done(); f(w) }) {
			wg.Done()
		}
	}
	wg.Wait()
}

// On runs f on the loop of worker i, unless that has stopped, and waits for it. Not to be called on a loop.
func (c *Crew[W]) On(i int, f func(W)) {
	done := make(chan struct{})
	if c.loops[i].Post(func() { defer close(done); f(c.workers[i]) }) {
		<-done
	}
}

// Gather joins what f yields on every loop, in no order. Not to be called on a loop.
func Gather[W, T any](c *Crew[W], f func(W) []T) []T {
	var mu sync.Mutex
	var all []T
	c.Each(func(w W) {
		some := f(w)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, some...)
	})
	return all
}
