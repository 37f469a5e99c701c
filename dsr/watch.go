package dsr

import "time"

// refreshEvery is how many turns pass between looks at the kernel's tables.
const refreshEvery = 10

// watch asks for servers and takes note of their answers. New ones are asked again soon: the question, or the answer, may
// have come before the other side was ready.
func (e *Engine) watch() {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	wait := askSoon
	again := time.NewTimer(wait)
	defer again.Stop()
	for turn := 1; ; {
		select {
		case <-e.stopped:
			return
		case n := <-e.news:
			e.hear(n)
		case <-e.fresh:
			wait = askSoon
			again.Reset(wait)
		case <-again.C:
			if wait *= 2; wait < askEvery && e.again() {
				again.Reset(wait)
			}
		case <-ticker.C:
			e.turn(turn%refreshEvery == 0)
			turn++
		}
	}
}

// hear takes in n, and what else has been heard meanwhile.
func (e *Engine) hear(n neighbour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := false
	for more := true; more; {
		if e.hood.heard(n) {
			changed = true
			e.opts.Logf("dsr: server %v is at %v", n.addr, n.mac)
		}
		select {
		case n = <-e.news:
		default:
			more = false
		}
	}
	if changed {
		e.publish()
	}
}

// again asks for servers that are not there, and reports whether there are any.
func (e *Engine) again() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hood.again(e.ask)
}

func (e *Engine) turn(refresh bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if refresh {
		if err := e.refresh(); err != nil {
			e.opts.Logf("dsr: %v", err)
		}
	}
	changed := e.hood.turn(e.ask)
	for i := range e.hood.members {
		if m := &e.hood.members[i]; m.used && m.chosen && !m.alive && m.waiting == deadAfter+1 {
			e.opts.Logf("dsr: server %v does not answer on %s", m.addr, e.opts.Interface)
		}
	}
	if changed || refresh || e.behind {
		e.publish()
	}
}

// tell passes on what a thread has heard. If the news come too fast they are told again after the next question.
func (e *Engine) tell(n neighbour) {
	select {
	case e.news <- n:
	default:
	}
}
