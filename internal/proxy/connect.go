package proxy

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/tproxy"
)

// begin makes a session of an accepted socket; false means that no connection number is free.
func (w *Worker) begin(down ring.Sock, st *settings.Settings) bool {
	s := w.slab.get()
	n := w.proxy.numbers.take(owner{w.index, s.slot})
	if n < 0 {
		w.slab.put(s)
		return false
	}
	if n >= st.ConnMax {
		w.proxy.grow(n + 1)
	}
	peer := w.loop.Peer(down)
	s.number, s.server, s.first = int32(n), balance.None, balance.None
	s.down, s.open = down, 1
	s.began = w.loop.Now()
	s.addr, s.port, s.unix = peer.Addr().As16(), peer.Port(), !peer.IsValid()
	ref, known := w.proxy.Clients.Touch(peer.Addr().Unmap(), w.now(), st.Tracking)
	s.client, s.known = ref, int32(known)
	if w.proxy.TLS != nil {
		w.secure(s)
		return true
	}
	w.serve(s, st)
	return true
}

// serve begins with what is done for the client of s.
func (w *Worker) serve(s *session, st *settings.Settings) {
	if st.Dummy {
		w.answer(s)
		return
	}
	w.choose(s, st)
}

// client is what the selection wants to know of s.
func (w *Worker) client(s *session) *balance.Client {
	ap := s.addrPort()
	w.who = balance.Client{Addr: ap.Addr(), Port: ap.Port(), Server: int(s.known)}
	return &w.who
}

// choose picks the first server for s and starts to connect.
func (w *Worker) choose(s *session, st *settings.Settings) {
	c := w.client(s)
	i := w.proxy.Pick(st, c, w.now())
	s.first = int32(i)
	w.connect(s, i, st)
}

// connect opens a connection to server i, whose place s has taken, or to the next one. Without a server the client
// is closed.
func (w *Worker) connect(s *session, i int, st *settings.Settings) {
	for ; i != balance.None; i = w.proxy.Servers.Next(&st.Rules, w.client(s), int(s.first), i, w.now()) {
		s.ports = 0
		err := w.dial(s, i, st)
		if err == nil {
			return
		}
		w.proxy.Servers.Release(i)
		s.server = balance.None
		if outOfFiles(err) {
			w.starve(s, err)
			return
		}
		w.blame(i, err)
	}
	w.proxy.Debugf(1, "connection %d: no server for client %v", s.number, s.addrPort())
	w.finish(s, noServer)
}

// dial starts to connect s to server i.
func (w *Worker) dial(s *session, i int, st *settings.Settings) error {
	s.server = int32(i)
	w.proxy.current.Store(s.server)
	t := w.proxy.Servers.Target(i)
	w.addr = sock.Addr{AddrPort: netip.AddrPortFrom(t.Addr, t.Port), Path: t.Path}
	for {
		w.prepare(st)
		if err := w.disguise(s, t.Addr, st); err != nil {
			return err
		}
		up, err := w.loop.Connect(&w.addr, &w.opts, s.token())
		if err == nil {
			s.up = up
			s.open++
			s.state = connecting
			s.timer = w.loop.After(connectTimeout(st), s.token())
			w.proxy.pending.Add(1)
			return nil
		}
		if !s.otherPort(err) {
			return err
		}
	}
}

// connectTimeout is at least a second, whatever was asked for.
func connectTimeout(st *settings.Settings) time.Duration { return max(st.ConnectTimeout, time.Second) }

// prepare sets the options of sockets towards servers.
func (w *Worker) prepare(st *settings.Settings) {
	w.opts = sock.Options{NoDelay: true, Congestion: st.Congestion}
	if st.Source.IsValid() {
		w.opts.Bind = netip.AddrPortFrom(st.Source, 0)
	}
}

// blame blacklists server i after err, unless the error is ours.
func (w *Worker) blame(i int, err error) {
	logf := w.debugf
	if _, ok := errors.AsType[*tlsError](err); ok || errors.Is(err, errPlainLoop) {
		logf = w.seldom(&w.proxy.distrust) // nobody else tells the operator
	}
	logf("connect to server %d: %v", i, err)
	if tproxy.Again(err) || errors.Is(err, tproxy.ErrRefused) {
		return // no local port or address: another try may have one, and the server is not at fault
	}
	w.proxy.Servers.Fail(i, w.now())
}

// reached takes the outcome of connecting s: 0 or an error. With TLS it is the handshake that decides, in the time that
// connecting may take.
func (w *Worker) reached(s *session, err syscall.Errno) {
	if err != 0 {
		w.connected(s, err)
		return
	}
	if begun, err := w.greet(s.up, int(s.server), s.token()); !begun {
		w.connected(s, err)
	}
}

// connected goes on with s, which can speak with its server, or cannot for err.
func (w *Worker) connected(s *session, err error) {
	w.loop.StopTimer(s.timer)
	s.timer = 0
	s.state = waiting // no longer one of those that pending counts
	w.proxy.pending.Add(-1)
	st := w.proxy.Settings.Get()
	if err == nil {
		w.proxy.Clients.SetServer(s.client, int(s.server), w.now())
		s.state = relaying
		s.active = w.loop.Now()
		if st.HTTP {
			w.watchHTTP(s)
		}
		w.tap(s, st)
		s.relay.Start(w.pump, s.down, s.up, s.token(), fastClose(st.FastClose))
		w.watch(s, st)
		w.proxy.wake()
		return
	}
	end := ring.NewToken(classOrphan, 0)
	if outOfFiles(err) {
		end = ring.NewToken(classOrphan, orphanWithoutFD)
	}
	w.loop.Close(s.up, end)
	s.up = 0
	s.open--
	w.failed(s, err, st)
	w.proxy.wake()
}

// failed goes on after err, from connecting s to its server: by another port, or with the next server.
func (w *Worker) failed(s *session, err error, st *settings.Settings) {
	i := int(s.server)
	if s.otherPort(err) {
		if err = w.dial(s, i, st); err == nil {
			return
		}
	}
	w.proxy.Servers.Release(i)
	s.server = balance.None
	if outOfFiles(err) {
		w.starve(s, err)
		return
	}
	w.blame(i, err)
	w.connect(s, w.proxy.Servers.Next(&st.Rules, w.client(s), int(s.first), i, w.now()), st)
}

// starve makes s wait for a descriptor.
func (w *Worker) starve(s *session, err error) {
	s.state = waiting
	w.exhausted(err)
	w.giveWay()
	w.starved = append(w.starved, s.slot)
}
