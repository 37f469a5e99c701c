package load

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	s := newSchedule(time.Second, 4)
	for i, want := range []time.Duration{1000, 1250, 1500, 1750, 2000} {
		want *= time.Millisecond
		if got := s.next(); got != want {
			t.Errorf("request %d is due at %v, want %v", i, got, want)
		}
		if got := s.take(); got != want {
			t.Errorf("request %d was taken for %v, want %v", i, got, want)
		}
	}
}

// A schedule must not drift: after a long time the due times still follow from the rate alone.
func TestScheduleDoesNotDrift(t *testing.T) {
	t.Parallel()
	const rate = 30_000 // 33.3 µs, not a whole number of nanoseconds
	s := newSchedule(0, rate)
	for range 10 * rate {
		s.take()
	}
	if got, want := s.next(), 10*time.Second; (got - want).Abs() > time.Microsecond {
		t.Errorf("after 10 s of requests the next one is due at %v", got)
	}
}

func TestClosedLoopHasNoSchedule(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, -1} {
		if s := newSchedule(time.Second, rate); s.open() {
			t.Errorf("rate %v: open loop", rate)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spent uint64
		now   time.Duration
		limit int
		want  int
	}{
		{"at the start", 0, time.Second, 1000, 0},
		{"half a second later", 0, 1500 * time.Millisecond, 100_000, 50_000},
		{"some is spent", 49_000, 1500 * time.Millisecond, 100_000, 1000},
		{"more was spent than allowed", 60_000, 1500 * time.Millisecond, 100_000, 0},
		{"no more than fits", 0, time.Minute, 4096, 4096},
		{"before the start", 0, 0, 4096, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := budget{start: time.Second, rate: 100_000, spent: tt.spent}
			if got := b.left(tt.now, tt.limit); got != tt.want {
				t.Errorf("left %d bytes, want %d", got, tt.want)
			}
		})
	}
}
