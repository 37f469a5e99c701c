package ring

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestSpinShare spins whenever it is allowed to, as long as it is, with rests of any length between, and checks that
// no second has more than its share.
func TestSpinShare(t *testing.T) {
	const share = 0.1
	const most = 50 * time.Microsecond
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var s spinner
		now := int64(1)
		s.set(Spin{Most: most, Share: share}, now)
		type slice struct{ at, ns int64 }
		var second []slice // what was spun in the second that ends now
		inSecond, longest, total, begin := int64(0), int64(0), int64(0), now
		for range 300_000 {
			ns := s.allow(now)
			if ns > int64(most) || ns < 0 {
				t.Fatalf("allowed %d ns", ns)
			}
			s.spent(ns)
			now += ns
			total += ns
			inSecond += ns
			second = append(second, slice{now, ns})
			for second[0].at <= now-int64(time.Second) {
				inSecond -= second[0].ns
				second = second[1:]
			}
			longest = max(longest, inSecond)
			now += rnd.Int64N(1 << (4 + rnd.IntN(17)))
		}
		if longest > int64(share*float64(time.Second)) {
			t.Errorf("seed %d: spun %v in one second", seed, time.Duration(longest))
		}
		if float64(total) < share*float64(now-begin)/2 {
			t.Errorf("seed %d: spun only %v of %v", seed, time.Duration(total), time.Duration(now-begin))
		}
	}
}

func TestSpinOff(t *testing.T) {
	var c core
	c.init(0, func() {})
	if c.spin(-1, func() bool { t.Error("looked"); return true }) {
		t.Error("found something")
	}
}

func TestSpinEnds(t *testing.T) {
	var c core
	c.init(0, func() {})
	c.SetSpin(Spin{Most: time.Hour})
	n := 0
	if !c.spin(-1, func() bool { n++; return n == 1000 }) || n != 1000 {
		t.Errorf("looked %d times, want to stop when something is found", n)
	}
	if c.spin(time.Millisecond, func() bool { return false }) {
		t.Error("found something where there is nothing")
	}
	c.Post(func() {})
	if c.spin(-1, func() bool { return false }) {
		t.Error("went on spinning over a post")
	}
}
