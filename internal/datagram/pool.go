package datagram

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

const (
	// upBuffer is the receive buffer of an up-socket, in bytes: some trains of a server that sends in bulk.
	upBuffer = 1 << 20
	// lookAgain is how long the source address towards a server is believed.
	lookAgain = 30 * time.Second
	// keepUps is how many up-sockets a pool keeps when it has no sessions left.
	keepUps = 64
)

// laneTo is the index of the lane to server i at to.
func (w *Worker) laneTo(to sock.Endpoint, i int) int32 {
	n, ok := w.laneOf[to]
	if !ok {
		n = int32(len(w.lanes))
		w.laneOf[to] = n
		w.lanes = append(w.lanes, &lane{to: to})
	}
	w.lanes[n].server = i
	return n
}

// source makes sure that l has a pool, one of the address that leads to its server.
func (w *Worker) source(l *lane, st *settings.Settings) bool {
	now := w.loop.Now()
	if l.pool != nil && now-l.looked < int64(lookAgain) && w.given == st.Source {
		return true
	}
	if w.given != st.Source {
		w.given = st.Source
		for _, l := range w.lanes {
			l.looked = now - int64(lookAgain)
		}
	}
	l.looked = now
	to := l.to.AddrPort().Addr()
	a := st.Source
	if !a.IsValid() || a.Is4() != to.Is4() {
		a = sock.SourceTo(to)
	}
	if !a.IsValid() {
		return l.pool != nil
	}
	if l.pool == nil || l.pool.source != a {
		l.forget(w.poolOf(a))
	}
	return true
}

func (w *Worker) poolOf(a netip.Addr) *pool {
	for _, p := range w.pools {
		if p.source == a {
			return p
		}
	}
	p := &pool{source: a}
	w.pools = append(w.pools, p)
	return p
}

// takeUp is an up-socket for s that is free for l. Errors: EMFILE if there are no more sockets to be had, EHOSTUNREACH
// if no way to the server is known, else those of opening one.
func (w *Worker) takeUp(s *session, l *lane, st *settings.Settings) (int32, error) {
	theirs, err := w.proxy.Disguised(s.client.AddrPort().Addr(), l.to.AddrPort().Addr(), st)
	switch {
	case err != nil:
		return 0, err
	case theirs:
		return w.openDisguised(s, l)
	case !w.source(l, st):
		return 0, syscall.EHOSTUNREACH
	case st.UDPConnected:
		return w.openUp(nil, l)
	}
	if i, ok := l.freed.take(); ok {
		if err := w.reopen(i, l); err != nil {
			l.freed.put(i)
			return 0, err
		}
		return i, nil
	}
	p := l.pool
	if l.next == len(p.ups) {
		i, err := w.openUp(p, l)
		if err != nil {
			return 0, err
		}
		p.ups = append(p.ups, i)
	}
	i := p.ups[l.next]
	if err := w.reopen(i, l); err != nil {
		return 0, err
	}
	l.next++
	return i, nil
}

// reopen opens up-socket i, one of the pool of l, if it was closed to make room.
func (w *Worker) reopen(i int32, l *lane) error {
	if w.ups[i].sock != 0 {
		return nil
	}
	if err := w.describe(l.pool, l); err != nil {
		return err
	}
	return w.openSock(i)
}

// openUp opens an up-socket for pool p, or for one session with the server of l.
func (w *Worker) openUp(p *pool, l *lane) (int32, error) {
	if err := w.describe(p, l); err != nil {
		return 0, err
	}
	return w.addUp(p)
}

// describe sets w.opts for an up-socket of pool p, or for one session with the server of l. The error is EMFILE.
func (w *Worker) describe(p *pool, l *lane) error {
	if w.open >= w.proxy.socksPerWorker() {
		return syscall.EMFILE
	}
	w.opts = sock.DatagramOptions{Bind: netip.AddrPortFrom(l.pool.source, 0), Buffer: upBuffer, Coalesce: true, Unreachable: true}
	if p == nil {
		w.opts.Peer = l.to.AddrPort()
	}
	return nil
}

// addUp opens the up-socket that w.opts describes.
func (w *Worker) addUp(p *pool) (int32, error) {
	n := len(w.freeUps)
	if n == 0 {
		w.freeUps = append(w.freeUps, int32(len(w.ups)))
		w.ups = append(w.ups, up{})
		n = 1
	}
	i := w.freeUps[n-1]
	if err := w.openSock(i); err != nil {
		return 0, err
	}
	w.freeUps = w.freeUps[:n-1]
	w.ups[i].pool, w.ups[i].sessions = p, 0
	return i, nil
}

// openSock opens the socket of up-socket i.
func (w *Worker) openSock(i int32) error {
	s, err := w.loop.OpenDatagrams(&w.opts)
	if err != nil {
		return err
	}
	w.open++
	w.ups[i].sock = s
	w.loop.Receive(s, ring.NewToken(classUp, uint64(i)))
	return nil
}

// giveUp returns up-socket i, which served a session of l.
func (w *Worker) giveUp(l *lane, i int32) {
	u := &w.ups[i]
	u.sessions--
	switch {
	case u.pool == nil:
		w.closeUp(i)
	case u.pool == l.pool:
		l.freed.put(i)
	}
}

// closeUp closes up-socket i. Its index is free once that is done, unless a pool keeps it. Its place among the open ones
// is free at once, so that another can be opened in the same turn.
func (w *Worker) closeUp(i int32) {
	u := &w.ups[i]
	w.loop.Close(u.sock, ring.NewToken(classUp, uint64(i)))
	u.sock = 0
	u.closing++
	w.open--
}

// freeUp frees index i if nothing of it is left.
func (w *Worker) freeUp(i int32) {
	if u := &w.ups[i]; u.pool == nil && u.sock == 0 && u.closing == 0 {
		w.freeUps = append(w.freeUps, i)
	}
}

// shrink closes most up-sockets when there are no sessions at all, as after a flood.
func (w *Worker) shrink() {
	if w.table.n > 0 {
		return
	}
	for _, p := range w.pools {
		if len(p.ups) <= keepUps {
			continue
		}
		for _, i := range p.ups[keepUps:] {
			w.ups[i].pool = nil
			if w.ups[i].sock != 0 {
				w.closeUp(i)
			} else {
				w.freeUp(i)
			}
		}
		p.ups = p.ups[:keepUps:keepUps]
		for _, l := range w.lanes {
			if l.pool == p {
				l.forget(p)
			}
		}
	}
}
