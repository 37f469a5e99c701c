package proxy

import (
	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/header"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

// tap lets the session see the pieces that somebody wants to know about: the log and -H those of clients, the dump all.
func (w *Worker) tap(s *session, st *settings.Settings) {
	f, on := w.log.Format()
	s.relay.Tap(splice.Up, s.http || on && (f != accesslog.JSON || !s.asked) || crew.Dumps(st))
	s.relay.Tap(splice.Down, crew.Dumps(st))
}

// chunk takes a piece that s has received, and hands it on.
func (w *Worker) chunk(s *session, c *ring.Completion) splice.Event {
	d := splice.Up
	if c.Sock == s.up {
		d = splice.Down
	}
	w.seen(s, d, w.loop.Bytes(c.Buf)[:c.N])
	if d == splice.Up && s.http {
		return w.rewrite(s, c.Buf, c.N)
	}
	return s.relay.Push(w.pump, d, c.Buf, 0, c.N)
}

// rewrite hands on the n bytes of b, which s has received from its client, with the headers that -H adds.
func (w *Worker) rewrite(s *session, b ring.Buf, n int) (ev splice.Event) {
	st := w.proxy.Settings.Get()
	conf := header.Config{Mode: st.Forwarded, HTTPS: w.proxy.TLS != nil}
	rw, src := &w.rewriters[s.slot], w.loop.Bytes(b)[:n]
	for off := 0; off < n && !rw.Refused(); {
		dst := w.loop.Alloc()
		res := rw.Rewrite(conf, s.addrPort().Addr(), w.loop.Bytes(dst), src[off:])
		if res.Same {
			w.loop.Release(dst)
			ev = s.relay.Push(w.pump, splice.Up, b, off, n-off)
			b = 0
			break
		}
		off += res.Used
		ev = s.relay.Push(w.pump, splice.Up, dst, 0, res.Made)
	}
	if b != 0 {
		w.loop.Release(b)
	}
	switch {
	case rw.Refused():
		w.proxy.Debugf(1, "connection %d: client %v sends a request that cannot be framed", s.number, s.addrPort())
		s.why = refused
		return splice.Done
	case rw.Raw():
		s.http = false
		s.relay.KeepCopying(splice.Up, false)
		w.tap(s, st)
	}
	return ev
}

// watchHTTP makes s follow the requests of its client.
func (w *Worker) watchHTTP(s *session) {
	for len(w.rewriters) <= int(s.slot) {
		w.rewriters = append(w.rewriters, make([]header.Rewriter, chunkLen)...)
	}
	w.rewriters[s.slot] = header.Rewriter{}
	s.http = true
	s.relay.KeepCopying(splice.Up, true)
}

// seen takes a piece that s has received in direction d.
func (w *Worker) seen(s *session, d splice.Dir, data []byte) {
	st := w.proxy.Settings.Get()
	w.proxy.Show(st, data)
	f, on := w.log.Format()
	switch {
	case d == splice.Down || !on:
	case f == accesslog.JSON:
		if !s.asked {
			w.keep(s, data)
			w.tap(s, st)
		}
	default:
		t := w.proxy.Servers.Target(int(s.server))
		w.line = accesslog.Line{Time: w.now(), Client: s.addrPort().Addr(), Server: t.Addr, Path: t.Path, Request: data}
		w.log.Add(&w.line)
	}
}
