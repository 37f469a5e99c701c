package ring

import "time"

// Spin says how long a loop polls before it sleeps. A sleeping thread takes some 30 to 50 µs to be on a CPU again,
// which is most of the latency of a quiet proxy; polling spares that at the price of CPU time.
type Spin struct {
	// Most is the time for one wait; 0 switches it off.
	Most time.Duration
	// Share bounds the time over all waits, as a part of one CPU: 0.1 is a tenth of any second. 0: no bound.
	Share float64
}

// spinner spends the time that Spin allows: a token bucket that holds one wait, so that in any second no more than the
// inflow of a second and that one wait are spent, which together are the share.
type spinner struct {
	Spin
	left   float64 // nanoseconds that may still be spent, with Share
	filled int64   // when left was last reckoned
}

func (s *spinner) set(sp Spin, now int64) { *s = spinner{Spin: sp, filled: now} }

// allow is how long the loop may spin from now on.
func (s *spinner) allow(now int64) int64 {
	if s.Share <= 0 {
		return int64(s.Most)
	}
	inflow := max(0, s.Share-float64(s.Most)/float64(time.Second))
	s.left = min(s.left+float64(now-s.filled)*inflow, float64(s.Most))
	s.filled = now
	return max(0, int64(s.left))
}

// spent takes note of time that was spun.
func (s *spinner) spent(ns int64) {
	if s.Share > 0 {
		s.left -= float64(ns)
	}
}

// SetSpin implements Loop.
func (c *core) SetSpin(sp Spin) { c.spinner.set(sp, clock()) }

// spin polls until look finds something, a post arrives, d is over (if not negative) or the time to spin is. It
// reports whether look found something.
func (c *core) spin(d time.Duration, look func() bool) bool {
	if c.spinner.Most <= 0 {
		return false
	}
	begin := clock()
	end := c.spinner.allow(begin)
	if d >= 0 {
		end = min(end, int64(d))
	}
	end += begin
	now, found := begin, false
	for ; !found && now < end && !c.called(); now = clock() {
		found = look()
	}
	c.spinner.spent(now - begin)
	return found
}

// called reports whether somebody wants the loop: nobody wakes it while it does not sleep.
func (c *core) called() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.posts) > 0 || c.stopped
}
