package proxy

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/penlb/pen/ring"
)

// handshakeTimeout is how long a client may take for its TLS handshake.
const handshakeTimeout = 15 * time.Second

var errHandshakeTimeout = errors.New("not finished in time")

// secure begins with the handshake of s. The choice of a server follows it.
//
// pen: connected to a server first, which scanners and clients that gave up made busy for nothing.
func (w *Worker) secure(s *session) {
	s.state = securing
	s.timer = w.loop.After(handshakeTimeout, s.token())
	w.tls.Secure(s.down, w.proxy.TLS, s.token())
}

// secured takes the outcome of the handshake of the session with token t.
func (w *Worker) secured(t ring.Token, err error) {
	s := w.slab.lookup(t)
	if s == nil || s.state != securing {
		return
	}
	w.loop.StopTimer(s.timer)
	s.timer = 0
	if err != nil {
		w.refuse(s, err)
		return
	}
	st := w.proxy.Settings.Get()
	if int(w.proxy.pending.Load()) >= st.PendingMax {
		s.state = waiting
		w.starved = append(w.starved, s.slot)
		w.stop()
		w.wait()
		return
	}
	w.serve(s, st)
}

// refuse ends s after a handshake that failed with err. One in a second is logged, since strangers cause them; those
// that merely went away are not worth a line.
func (w *Worker) refuse(s *session, err error) {
	logf := func(format string, args ...any) { w.proxy.Debugf(1, format, args...) }
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		now := w.now() / int64(time.Second)
		if last := w.proxy.refusal.Load(); last != now && w.proxy.refusal.CompareAndSwap(last, now) {
			logf = w.proxy.Logf
		}
	}
	logf("TLS handshake with client %v: %v", s.addrPort(), err)
	why := refused
	if errors.Is(err, errHandshakeTimeout) {
		why = late
	}
	w.finish(s, why)
}
