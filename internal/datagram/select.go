package datagram

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
)

// begin makes a session of the first datagram of a client; nil if no server is to be had.
func (w *Worker) begin(ln *listener, d *sock.Datagram, hash uint32, st *settings.Settings) *session {
	limit := int64(w.proxy.Limit())
	for w.proxy.sessions.Load() >= limit {
		s := w.oldest() // one of ours: a session is short of room where it begins
		if s == nil {
			break
		}
		w.replace(s)
	}
	ref, known := w.proxy.Clients.Touch(d.Remote.AddrPort().Addr(), w.now(), st.Tracking)
	s := w.table.alloc()
	s.client, s.local, s.down = d.Remote, d.Local, ln.sock
	s.who, s.known, s.began = ref, int32(known), w.loop.Now()
	s.active = s.began
	if !w.assign(s, st) {
		w.table.free(s)
		return nil
	}
	w.table.link(byClient, s, hash)
	w.proxy.sessions.Add(1)
	w.stats.Began++
	w.wind(st)
	return s
}

// policy is what the selection wants to know of a client.
func (w *Worker) policy(a netip.AddrPort, known int32) *balance.Client {
	w.who = balance.Client{Addr: a.Addr(), Port: a.Port(), Server: int(known)}
	return &w.who
}

// assign finds a server for s, and an up-socket that is free for it.
func (w *Worker) assign(s *session, st *settings.Settings) bool {
	c := w.policy(s.client.AddrPort(), s.known)
	first := w.proxy.Pick(st, c, w.now())
	for i := first; i != balance.None; i = w.proxy.Servers.Next(&st.Rules, c, first, i, w.now()) {
		err := w.reach(s, i, st)
		if err == nil {
			w.proxy.current.Store(int32(i))
			w.proxy.Clients.SetServer(s.who, i, w.now())
			s.known = int32(i)
			return true
		}
		w.proxy.Servers.Release(i)
		w.proxy.Debugf(1, "server %d: %v", i, err)
	}
	w.proxy.Debugf(1, "no server for client %v", s.client.AddrPort())
	return false
}

// reach puts s on the lane of server i, whose place it has. No error is the server's fault.
func (w *Worker) reach(s *session, i int, st *settings.Settings) error {
	t := w.proxy.Servers.Target(i)
	if t.Path != "" {
		return errors.New("a Unix socket takes no UDP")
	}
	to := sock.EndpointOf(netip.AddrPortFrom(t.Addr, t.Port))
	n := w.laneTo(to, i)
	l := w.lanes[n]
	up, err := w.takeUp(s, l, st)
	if outOfSockets(err) && w.makeRoom(l, st.UDPConnected || st.Transparent) {
		up, err = w.takeUp(s, l, st)
	}
	if err != nil {
		return err
	}
	w.ups[up].sessions++
	s.up, s.lane, s.server, s.to = up, n, int32(i), to
	s.asked, s.answers = 0, 0
	w.table.link(byUp, s, w.hashUp(up, &to))
	l.push(&w.table, s)
	return nil
}

// outOfSockets reports whether err means that another socket can only be had if one is given up.
func outOfSockets(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) ||
		errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EAGAIN)
}

// leave takes s from its server.
func (w *Worker) leave(s *session) {
	w.settle(s)
	l := w.lanes[s.lane]
	l.remove(&w.table, s)
	w.table.unlink(byUp, s)
	w.giveUp(l, s.up)
	w.proxy.Servers.Release(int(s.server))
	s.server, s.up, s.lane = balance.None, -1, -1
}

// fits reports whether s may stay with its server: it is not blacklisted, and still where it was.
func (w *Worker) fits(s *session, st *settings.Settings) bool {
	if !w.proxy.Servers.Available(&st.Rules, int(s.server), w.now()) {
		return false
	}
	t := w.proxy.Servers.Target(int(s.server))
	return s.to == sock.EndpointOf(netip.AddrPortFrom(t.Addr, t.Port))
}

// move finds another server for s. It ends, and the result is nil, if there is none.
func (w *Worker) move(s *session, st *settings.Settings) *session {
	w.leave(s)
	if !w.assign(s, st) {
		w.forget(s)
		return nil
	}
	return s
}

// end ends s.
func (w *Worker) end(s *session, cause string) {
	w.record(s, cause)
	w.leave(s)
	w.forget(s)
}

// record logs s, which has ended for the reason cause, if such lines are wanted.
func (w *Worker) record(s *session, cause string) {
	if f, on := w.log.Format(); !on || f != accesslog.JSON {
		return
	}
	t := w.proxy.Servers.Target(int(s.server))
	w.line = accesslog.Line{Time: w.now(), Client: s.client.AddrPort().Addr(), Server: t.Addr, Path: t.Path,
		Up: s.count.up, Down: s.count.down, Duration: time.Duration(w.loop.Now() - s.began), Cause: cause}
	w.log.Add(&w.line)
}

// forget frees s, which has left its server.
func (w *Worker) forget(s *session) {
	w.table.unlink(byClient, s)
	w.table.free(s)
	w.proxy.sessions.Add(-1)
}

// oldest is the session that has been idle longest; nil if there is none.
func (w *Worker) oldest() (oldest *session) {
	for _, l := range w.lanes {
		if l.oldest == 0 {
			continue
		}
		if s := w.table.at(l.oldest - 1); oldest == nil || s.active < oldest.active {
			oldest = s
		}
	}
	return oldest
}

// replace ends s to make room for another.
func (w *Worker) replace(s *session) {
	w.stats.Replaced++
	w.end(s, "replaced")
}

// makeRoom ends sessions so that there is an up-socket for l, of one session's own or a shared one, and reports whether
// there were any: the oldest of l, if what it leaves will do; else all that share a socket with the oldest, so that it
// can be closed.
func (w *Worker) makeRoom(l *lane, own bool) bool {
	if l.oldest != 0 {
		if s := w.table.at(l.oldest - 1); own == (w.ups[s.up].pool == nil) {
			w.replace(s)
			return true
		}
	}
	s := w.oldest()
	if s == nil {
		return false
	}
	i := s.up
	if w.ups[i].pool == nil { // closed with its session
		w.replace(s)
		return true
	}
	for _, other := range w.lanes {
		if s := w.table.findUp(w.hashUp(i, &other.to), i, &other.to); s != nil {
			w.replace(s)
		}
	}
	w.closeUp(i) // its place in the pool remains, see reopen
	return true
}

// blame blacklists server i, unless no other would be left: one that may be dead is better than none.
func (w *Worker) blame(i int, st *settings.Settings) {
	sv, now := w.proxy.Servers, w.now()
	if !sv.Available(&st.Rules, i, now) {
		return
	}
	for j := balance.Emergency; j < sv.Len(); j++ {
		if j != i && j != balance.None && sv.Available(&st.Rules, j, now) {
			sv.Fail(i, now)
			return
		}
	}
}

// passOn forwards d without a session, for a protocol without answers.
func (w *Worker) passOn(d *sock.Datagram, st *settings.Settings) {
	from := d.Remote.AddrPort()
	ref, known := w.proxy.Clients.Touch(from.Addr(), w.now(), st.Tracking)
	c := w.policy(from, int32(known))
	first := w.proxy.Pick(st, c, w.now())
	for i := first; i != balance.None; i = w.proxy.Servers.Next(&st.Rules, c, first, i, w.now()) {
		ok := w.passTo(d, i, ref, st)
		w.proxy.Servers.Release(i)
		if ok {
			return
		}
	}
	w.stats.Refused += uint64(d.Count())
}

// passTo forwards d to server i, whose answers are strays. All lanes of a source share the first socket of its pool.
func (w *Worker) passTo(d *sock.Datagram, i int, ref client.Ref, st *settings.Settings) bool {
	t := w.proxy.Servers.Target(i)
	if t.Path != "" {
		return false
	}
	to := sock.EndpointOf(netip.AddrPortFrom(t.Addr, t.Port))
	l := w.lanes[w.laneTo(to, i)]
	if !w.source(l, st) {
		return false
	}
	if len(l.pool.ups) == 0 {
		up, err := w.openUp(l.pool, l)
		if err != nil {
			w.proxy.Debugf(1, "server %d: %v", i, err)
			return false
		}
		l.pool.ups = append(l.pool.ups, up)
	}
	if w.reopen(l.pool.ups[0], l) != nil {
		return false
	}
	w.proxy.current.Store(int32(i))
	w.proxy.Clients.SetServer(ref, i, w.now())
	w.proxy.Clients.Add(ref, 0, uint64(len(d.Data)))
	w.proxy.Servers.AddTraffic(i, uint64(len(d.Data)), 0)
	w.note(d.Remote.AddrPort().Addr(), i, d)
	w.forward(&w.ups[l.pool.ups[0]], d, &to)
	return true
}
