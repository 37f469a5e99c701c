package datagram

import (
	"math"
	"sync"
	"sync/atomic"

	"github.com/penlb/pen/internal/crew"
)

// Config is what a Proxy works with.
type Config struct {
	crew.Config

	// MaxSocks is how many up-sockets the descriptor limit allows.
	MaxSocks int
}

// Proxy is the UDP side of one service, over all loops.
type Proxy struct {
	Config
	workers  crew.Crew[*Worker]
	sessions atomic.Int64
	current  atomic.Int32 // server chosen last
}

// maxSessions bounds the sessions if nobody says else: 300 MB.
const maxSessions = 1_000_000

// New returns a proxy without workers.
func New(c Config) *Proxy { return &Proxy{Config: c} }

// Limit is how many sessions there may be.
func (p *Proxy) Limit() int {
	st := p.Settings.Get()
	n := st.UDPSessionsMax
	if n <= 0 {
		socks := max(p.MaxSocks, 1)
		if !st.UDPConnected && !st.Transparent {
			socks *= max(p.Servers.Len(), 1)
		}
		n = min(maxSessions, socks)
	}
	if st.ConnMaxHard {
		n = min(n, st.ConnMax)
	}
	return max(n, 1)
}

func (p *Proxy) socksPerWorker() int { return max(1, p.MaxSocks/p.workers.Len()) }

// Sync returns when every worker has handled what its peers have seen and has added its traffic to Servers and
// Clients. Not to be called on a loop.
func (p *Proxy) Sync() { p.workers.Each((*Worker).flush) }

// Refresh follows a change of the settings: new time-outs count from now on.
func (p *Proxy) Refresh() { p.workers.Post((*Worker).tick) }

// Conns is the number of sessions.
func (p *Proxy) Conns() int { return int(p.sessions.Load()) }

// Current is the index of the server that was chosen last; 0 at first.
func (p *Proxy) Current() int { return int(p.current.Load()) }

// ConnInfo describes one session.
type ConnInfo struct {
	Number       int
	DownFD, UpFD int // -1: none
	Client       int // index in the client table
	Server       int // index of the server
}

// number is what operators call s: sessions of all workers take turns.
func (w *Worker) number(s *session) int { return int(s.slot)*w.proxy.workers.Len() + w.index }

// Conn describes session n; ok is false if there is none.
func (p *Proxy) Conn(n int) (ci ConnInfo, ok bool) {
	p.on(n, func(w *Worker, s *session) { ci, ok = w.info(s), true })
	return ci, ok
}

// CloseConn ends session n and reports whether there was one.
func (p *Proxy) CloseConn(n int) (ok bool) {
	p.on(n, func(w *Worker, s *session) { ok = true; w.end(s, "operator") })
	return ok
}

// on runs f on the loop of session n, if there is one.
func (p *Proxy) on(n int, f func(*Worker, *session)) {
	all := p.workers.Len()
	if n < 0 || all == 0 || n/all > math.MaxInt32 {
		return
	}
	p.workers.On(n%all, func(w *Worker) {
		if s := w.table.get(uint32(n / all)); s != nil {
			f(w, s)
		}
	})
}

// All describes every session, in no order.
func (p *Proxy) All() []ConnInfo {
	return crew.Gather(&p.workers, func(w *Worker) (some []ConnInfo) {
		w.table.each(func(s *session) { some = append(some, w.info(s)) })
		return some
	})
}

// Stats are the counters of all workers.
type Stats struct {
	Sessions int
	UpSocks  int    // open up-sockets
	Began    uint64 // sessions
	Replaced uint64 // sessions that ended early to make room
	Moved    uint64 // sessions that went to another server
	Refused  uint64 // datagrams of clients for which no server was to be had
	Strays   uint64 // datagrams that came to an up-socket from somebody who was not asked
	Sent     uint64 // datagrams sent, to both sides
	Lost     uint64 // datagrams that could not be sent: no room, no route
	Dropped  uint64 // datagrams that the system has thrown away because we were too slow
}

// Stats sums the counters of all workers. Not to be called on a loop.
func (p *Proxy) Stats() Stats {
	var mu sync.Mutex
	var sum Stats
	p.workers.Each(func(w *Worker) {
		l := w.loop.Stats()
		mu.Lock()
		defer mu.Unlock()
		sum.Sessions += w.table.n
		sum.UpSocks += w.open
		sum.Began += w.stats.Began
		sum.Replaced += w.stats.Replaced
		sum.Moved += w.stats.Moved
		sum.Refused += w.stats.Refused
		sum.Strays += w.stats.Strays
		sum.Sent += l.Sent
		sum.Lost += l.Lost
		sum.Dropped += w.stats.Dropped
		for _, ln := range w.listeners {
			if ln != nil {
				sum.Dropped += ln.src.Drops()
			}
		}
	})
	return sum
}
