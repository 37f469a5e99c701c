package load

import "time"

// schedule says when the requests of an open loop are due: the i-th at start + i/rate. It never adapts to the answers.
type schedule struct {
	start time.Duration // on the clock of the client
	step  float64       // nanoseconds between requests; 0 means there is no schedule
	taken uint64
}

func newSchedule(start time.Duration, rate float64) schedule {
	if rate <= 0 {
		return schedule{}
	}
	return schedule{start: start, step: float64(time.Second) / rate}
}

// open reports whether there is a schedule at all.
func (s *schedule) open() bool { return s.step > 0 }

// next is when the first request that was not yet taken is due.
func (s *schedule) next() time.Duration {
	return s.start + time.Duration(float64(s.taken)*s.step)
}

// take removes the next request from the schedule and returns when it was, or will be, due.
func (s *schedule) take() time.Duration {
	due := s.next()
	s.taken++
	return due
}

// budget is a reader's allowance at a fixed rate.
type budget struct {
	start time.Duration
	rate  float64 // bytes per second
	spent uint64
}

// left is how many bytes may be read at now, at most limit.
func (b *budget) left(now time.Duration, limit int) int {
	n := b.rate*(now-b.start).Seconds() - float64(b.spent)
	if n <= 0 {
		return 0
	}
	return int(min(n, float64(limit)))
}
