package ringtest

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/penlb/pen/ring"
)

var timerCases = []testCase{
	{"in order, never early", timerOrder},
	{"stop", timerStop},
	{"stopped by one that is due as well", timerStopDue},
	{"restarted from its handler", timerRestart},
	{"many", timerMany},
	{"time goes on", timerNow},
	{"no timer, no turns", timerIdle},
}

func timerOrder(r *rig) {
	delays := []time.Duration{40, 5, 0, 25, 80, 10, 60}
	tokens := make([]ring.Token, len(delays))
	var begin time.Time
	for i := range tokens {
		tokens[i] = r.token()
	}
	r.do(func() {
		begin = time.Now()
		for i, d := range delays {
			r.l.After(d*time.Millisecond, tokens[i])
		}
	})
	seq := -1
	for _, i := range []int{2, 1, 5, 3, 0, 6, 4} {
		res := r.final(tokens[i], 0)
		if res.Op != ring.OpTimer || res.seq <= seq {
			r.t.Errorf("timer of %d ms: %+v after %d", delays[i], res.Completion, seq)
		}
		seq = res.seq
		if d := time.Since(begin); d < delays[i]*time.Millisecond {
			r.t.Errorf("timer of %d ms after %v", delays[i], d)
		}
	}
	r.balanced(0)
}

func timerStop(r *rig) {
	t, last := r.token(), r.token()
	r.do(func() {
		tm := r.l.After(5*time.Millisecond, t)
		r.l.StopTimer(tm)
		r.l.StopTimer(tm) // harmless
		r.l.StopTimer(0)
		r.l.After(-time.Second, last)
	})
	r.final(last, 0)
	var tm ring.Timer
	last = r.token()
	r.do(func() { tm = r.l.After(0, last) })
	r.final(last, 0)
	again := r.token()
	r.do(func() {
		r.l.After(10*time.Millisecond, again) // in the same place
		r.l.StopTimer(tm)                     // the one before it
	})
	r.final(again, 0)
	r.quiet(t)
	r.balanced(0)
}

func timerStopDue(r *rig) {
	var tm [2]ring.Timer
	fired := 0
	done := make(chan struct{})
	var tokens [2]ring.Token
	for i := range tokens {
		tokens[i] = r.hooked(func(*ring.Completion) {
			fired++
			r.l.StopTimer(tm[1-i])
			r.l.After(10*time.Millisecond, r.hooked(func(*ring.Completion) { close(done) }))
		})
	}
	r.do(func() {
		for i := range tm {
			tm[i] = r.l.After(time.Millisecond, tokens[i])
		}
		for begin := time.Now(); time.Since(begin) < 5*time.Millisecond; { // both are due in the next turn
		}
	})
	r.await(done, "the timers")
	r.do(func() {
		if fired != 1 {
			r.t.Errorf("%d timers, want 1", fired)
		}
	})
	r.balanced(0)
}

func timerRestart(r *rig) {
	n := 0
	done := make(chan struct{})
	var next func()
	next = func() {
		r.l.After(0, r.hooked(func(*ring.Completion) {
			if n++; n == 20 {
				close(done)
				return
			}
			next()
		}))
	}
	r.do(next)
	r.await(done, "the last timer")
	r.balanced(0)
}

func timerMany(r *rig) {
	const n = 20_000
	left := n / 2
	var late, early time.Duration
	done := make(chan struct{})
	src := rand.New(rand.NewPCG(1, 2))
	r.do(func() {
		var stop []ring.Timer
		for i := range n {
			d := time.Duration(src.IntN(300)) * time.Millisecond
			if i%2 == 0 {
				stop = append(stop, r.l.After(d, ring.NewToken(class, 1<<50)))
				continue
			}
			due := time.Now().Add(d)
			r.l.After(d, r.hooked(func(*ring.Completion) {
				diff := time.Since(due)
				late, early = max(late, diff), min(early, diff)
				if left--; left == 0 {
					close(done)
				}
			}))
		}
		r.l.After(time.Duration(math.MaxInt64), ring.NewToken(class, 1<<50))
		for _, tm := range stop {
			r.l.StopTimer(tm)
		}
		if st := r.l.Stats(); st.Timers != n/2+1 {
			r.t.Errorf("%d timers, want %d", st.Timers, n/2+1)
		}
	})
	r.await(done, "all timers")
	if early < 0 {
		r.t.Errorf("a timer was %v early", -early)
	}
	r.t.Logf("the latest was %v late", late)
	r.do(func() {
		if st := r.l.Stats(); st.Timers != 1 {
			r.t.Errorf("%d timers, want 1", st.Timers)
		}
	})
}

func timerNow(r *rig) {
	var t0, t1, d int64
	r.do(func() { t0 = r.l.Now() })
	time.Sleep(5 * time.Millisecond) // what is tested is time
	r.do(func() {
		t1 = r.l.Now()
		d = int64(5 * time.Millisecond)
	})
	if t1-t0 < d-int64(time.Millisecond) {
		r.t.Errorf("Now went from %d to %d in 5 ms", t0, t1)
	}
}

// timerIdle has a loop with nothing to do, and with a timer far away: it must sleep.
func timerIdle(r *rig) {
	turns := func() (n uint64) {
		r.do(func() { n = r.l.Stats().Turns })
		return n
	}
	before := turns()
	r.do(func() { r.l.After(time.Hour, r.token()) })
	time.Sleep(50 * time.Millisecond) // what is tested is that nothing happens
	if n := turns() - before; n > 20 {
		r.t.Errorf("%d turns in 50 ms of nothing", n)
	}
}
