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

// takeUp is an up-socket for s that is free for l. Errors: EMFILE if there are no more sockets to be had, EHOSTUNREACH if no
// way to the server is known, else those of opening one.
func (w *Worker) takeUp(s *session, l *lane, st *settings.Settings) (int32, error) {
	if !w.source(l, st) {
		return 0, syscall.EHOSTUNREACH
	}
	theirs, err := w.disguised(s, l, st)
	switch {
	case err != nil:
		return 0, err
	case theirs:
		return w.openDisguised(s, l)
	case st.UDPConnected:
		return w.openUp(nil, l)
	}
	if i, ok := l.freed.take(); ok {
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
	l.next++
	return p.ups[l.next-1], nil
}

// openUp opens an up-socket for pool p, or for one session with the server of l.
func (w *Worker) openUp(p *pool, l *lane) (int32, error) {
	if w.open >= w.proxy.socksPerWorker() {
		return 0, syscall.EMFILE
	}
	w.opts = sock.DatagramOptions{Bind: netip.AddrPortFrom(l.pool.source, 0), Buffer: upBuffer, Coalesce: true, Unreachable: true}
	if p == nil {
		w.opts.Peer = l.to.AddrPort()
	}
	return w.addUp(p)
}

// addUp opens the up-socket that w.opts describes.
func (w *Worker) addUp(p *pool) (int32, error) {
	s, err := w.loop.OpenDatagrams(&w.opts)
	if err != nil {
		return 0, err
	}
	w.open++
	i := int32(len(w.ups))
	if n := len(w.freeUps); n > 0 {
		i, w.freeUps = w.freeUps[n-1], w.freeUps[:n-1]
	} else {
		w.ups = append(w.ups, up{})
	}
	w.ups[i] = up{sock: s, pool: p}
	w.loop.Receive(s, ring.NewToken(classUp, uint64(i)))
	return i, nil
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

// closeUp closes up-socket i. Its index is free once that is done, its place among the open ones at once: otherwise
// nothing could take it in the same turn.
func (w *Worker) closeUp(i int32) {
	w.loop.Close(w.ups[i].sock, ring.NewToken(classUp, uint64(i)))
	w.ups[i].sock = 0
	w.open--
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
			w.closeUp(i)
		}
		p.ups = p.ups[:keepUps:keepUps]
		for _, l := range w.lanes {
			if l.pool == p {
				l.forget(p)
			}
		}
	}
}
