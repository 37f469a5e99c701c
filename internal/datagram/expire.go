package datagram

import (
	"time"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/ring"
)

const (
	// expireMost bounds the sessions that end in one turn, about a millisecond's worth: the rest follow at once.
	expireMost = 4096
	tickMost   = time.Second
	tickLeast  = 5 * time.Millisecond
)

// wind starts the clock that lets sessions expire, if it does not run.
func (w *Worker) wind(st *settings.Settings) {
	if w.timer != 0 {
		return
	}
	d := tickMost
	if t := st.UDPReplyTimeout; t > 0 {
		d = min(d, max(t/4, tickLeast))
	}
	w.timer = w.loop.After(d, ring.NewToken(classTick, 0))
}

// tick ends sessions that have been idle for too long, and looks for servers that stay silent. It comes again for as
// long as there are sessions.
func (w *Worker) tick() {
	st := w.proxy.Settings.Get()
	now := w.loop.Now()
	left := expireMost
	for _, l := range w.lanes {
		if st.UDPTimeout > 0 {
			left = w.expire(l, now-int64(st.UDPTimeout), left)
		}
		if t := int64(st.UDPReplyTimeout); t > 0 && l.asked != 0 && now-l.asked >= t {
			w.proxy.Debugf(1, "server %d: no answer for %v", l.server, st.UDPReplyTimeout)
			w.blame(l.server, st)
			l.asked = 0
		}
	}
	w.shrink()
	w.loop.StopTimer(w.timer)
	w.timer = 0
	switch {
	case left == 0:
		w.timer = w.loop.After(0, ring.NewToken(classTick, 0))
	case w.table.n > 0:
		w.wind(st)
	}
}

// expire ends up to left sessions of l that have been idle since before, and yields how many more there may be.
func (w *Worker) expire(l *lane, before int64, left int) int {
	for l.oldest != 0 && left > 0 {
		s := w.table.at(l.oldest - 1)
		if s.active > before {
			break
		}
		w.end(s, "idle")
		left--
	}
	return left
}

// flush hands the traffic of all sessions to the policy. Those that have had none since the last time are behind, in
// the lists by use.
func (w *Worker) flush() {
	for _, l := range w.lanes {
		for i := l.newest; i != 0; {
			s := w.table.at(i - 1)
			if s.active < w.flushed {
				break
			}
			w.settle(s)
			i = s.older
		}
	}
	w.flushed = w.loop.Now()
}

// settle hands the traffic of s to the policy.
func (w *Worker) settle(s *session) {
	up, down := s.count.up-s.upTold, s.count.down-s.downTold
	if up|down == 0 {
		return
	}
	w.proxy.Servers.AddTraffic(int(s.server), up, down)
	w.proxy.Clients.Add(s.who, down, up)
	s.upTold, s.downTold = s.count.up, s.count.down
}
