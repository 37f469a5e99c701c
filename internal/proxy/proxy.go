package proxy

import (
	"crypto/tls"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/tlsloop"
)

// Config is what a Proxy works with.
type Config struct {
	crew.Config

	// TLS is how to speak with clients; nil: as they come.
	TLS *tls.Config

	// ServerTLS is how to speak with a server whose configuration asks for TLS, given its index as well; nil: not at
	// all. It is called on the loops. With either the loops copy what they could splice.
	ServerTLS func(i int, c *balance.Config) *tls.Config

	// MaxConns is what the descriptor limit allows; conn_max counts below it.
	MaxConns int
}

// Proxy is the TCP side of one service, over all loops.
type Proxy struct {
	Config
	workers crew.Crew[*Worker]
	numbers numbers
	pending atomic.Int32 // connects under way
	gated   atomic.Int32 // workers that wait for wake
	current atomic.Int32 // server chosen last
	idlers  atomic.Int32 // connected to servers without a client
	slots   tlsloop.Slots
	refusal atomic.Int64 // when a failed handshake with a client was last logged, in seconds
	// distrust is the same for servers.
	distrust atomic.Int64
	lastMsg  atomic.Int64 // when the shortage of descriptors was last logged, in seconds
}

// New returns a proxy without workers.
func New(c Config) *Proxy {
	p := &Proxy{Config: c, slots: tlsloop.NewSlots(runtime.GOMAXPROCS(0))}
	p.Refresh()
	return p
}

// Refresh follows a change of the settings: limits apply at once, idle timeouts and logging to the sessions that
// exist.
func (p *Proxy) Refresh() {
	s := p.Settings.Get()
	limit := p.MaxConns
	if s.ConnMaxHard {
		limit = min(limit, s.ConnMax)
	}
	p.numbers.setLimit(limit)
	p.wake()
	p.workers.Post((*Worker).refresh)
}

// Sync returns when every worker has handled what its peers have seen and has added its traffic to Servers and
// Clients. Not to be called on a loop.
func (p *Proxy) Sync() { p.workers.Each((*Worker).flush) }

// Conns is the number of connections in use.
func (p *Proxy) Conns() int { n, _ := p.numbers.used(); return n }

// Current is the index of the server that was chosen last; 0 at first.
func (p *Proxy) Current() int { return int(p.current.Load()) }

// Idlers is the number of connections to servers that serve no client.
func (p *Proxy) Idlers() int { return int(p.idlers.Load()) }

// Pipes is how many pipes for splicing the workers have open, and how many of them hold bytes.
func (p *Proxy) Pipes() (open, used int) {
	var mu sync.Mutex
	p.workers.Each(func(w *Worker) {
		mu.Lock()
		defer mu.Unlock()
		o, u := w.pump.Pipes()
		open, used = open+o, used+u
	})
	return open, used
}

// ConnInfo describes one connection.
type ConnInfo struct {
	Number       int
	State        int // pen's: 1 connecting, 2 connected, +4 server closed, +8 client closed
	DownFD, UpFD int // -1: none
	Client       int // index in the client table
	Server       int // index of the server, balance.None while there is none
	PendingDown  int // bytes held on their way to the client
	PendingUp    int // bytes held on their way to the server
}

// Conn describes connection n; ok is false if there is none.
func (p *Proxy) Conn(n int) (ci ConnInfo, ok bool) {
	p.on(n, func(w *Worker, s *session) { ci, ok = w.info(s), true })
	return ci, ok
}

// CloseConn ends connection n and reports whether there was one.
func (p *Proxy) CloseConn(n int) (ok bool) {
	p.on(n, func(w *Worker, s *session) { ok = true; w.finish(s, byOperator) })
	return ok
}

// on runs f on the loop of connection n, if it is still there.
func (p *Proxy) on(n int, f func(*Worker, *session)) {
	o, ok := p.numbers.find(n)
	if !ok {
		return
	}
	p.workers.On(int(o.worker), func(w *Worker) {
		if s := w.slab.at(o.slot); s.number == int32(n) && s.state != closing {
			f(w, s)
		}
	})
}

// All describes every connection, in no order.
func (p *Proxy) All() []ConnInfo {
	return crew.Gather(&p.workers, func(w *Worker) (some []ConnInfo) {
		for s := range w.slab.live() {
			some = append(some, w.info(s))
		}
		return some
	})
}

// wake lets the workers that wait for a place try again. It is called after a place has been freed.
func (p *Proxy) wake() {
	if p.gated.Load() == 0 {
		return
	}
	for _, w := range p.workers.All() {
		if w.gated.CompareAndSwap(true, false) {
			p.gated.Add(-1)
			w.loop.Post(w.resume)
		}
	}
}

// open reports whether another connection may be begun now.
func (p *Proxy) open(s *settings.Settings) bool {
	if int(p.pending.Load()) >= s.PendingMax {
		return false
	}
	_, free := p.numbers.used()
	return free
}

// grow raises conn_max when more connections are in use than it says and nobody asked for a limit.
func (p *Proxy) grow(n int) {
	p.Settings.Update(func(s *settings.Settings) {
		for s.ConnMax < n && !s.ConnMaxHard {
			s.ConnMax = min(2*s.ConnMax, max(p.MaxConns, n))
		}
	})
}

// short logs, at most once a second, that descriptors have run out.
func (p *Proxy) short(err error) {
	now := time.Now().Unix()
	if last := p.lastMsg.Load(); last != now && p.lastMsg.CompareAndSwap(last, now) {
		p.Logf("out of file descriptors (%v) with %d connections: new clients wait; raise the limit (ulimit -n) or lower -x",
			err, p.Conns())
	}
}
