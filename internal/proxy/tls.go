package proxy

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penlb/pen/ring"
)

// handshakeTimeout is how long a client may take for its TLS handshake.
const handshakeTimeout = 15 * time.Second

var (
	errHandshakeTimeout = errors.New("not finished in time")
	errPlainLoop        = errors.New("it is to be spoken to with TLS, for which nothing was prepared at start")
)

// secure begins with the handshake of s. The choice of a server follows it.
//
// pen: connected to a server first, which scanners and clients that gave up made busy for nothing.
func (w *Worker) secure(s *session) {
	s.state = securing
	s.timer = w.loop.After(handshakeTimeout, s.token())
	w.tls.Secure(s.down, w.proxy.TLS, s.token())
}

// secured takes the outcome of the handshake with token t: of a session, with its client or its server, or of an idler.
func (w *Worker) secured(t ring.Token, err error) {
	if t.Class() == classIdler {
		w.idlerSecured(t, err)
		return
	}
	s := w.slab.lookup(t)
	switch {
	case s == nil:
	case s.state == securing:
		w.admitted(s, err)
	case s.state == connecting:
		w.connected(s, handshakeError(err))
	}
}

// handshakeError is why a server cannot be spoken to with TLS; nil if it can.
func handshakeError(err error) error {
	if err == nil {
		return nil
	}
	return &tlsError{err}
}

// tlsError is a TLS handshake with a server that failed.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return fmt.Sprintf("TLS handshake: %v", e.err) }
func (e *tlsError) Unwrap() error { return e.err }

// greet begins a TLS handshake on up, a connection to server i, if that is how to speak with it; its outcome then goes
// to secured with t.
func (w *Worker) greet(up ring.Sock, i int, t ring.Token) (begun bool, err error) {
	conf := w.proxy.Servers.Target(i)
	switch {
	case conf.TLS.CA == "":
		return false, nil
	case w.proxy.ServerTLS == nil:
		return false, errPlainLoop
	}
	w.tls.SecureClient(up, w.proxy.ServerTLS(i, conf), t)
	return true, nil
}

// admitted goes on with s after the handshake with its client.
func (w *Worker) admitted(s *session, err error) {
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
	logf := w.debugf
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		logf = w.seldom(&w.proxy.refusal)
	}
	logf("TLS handshake with client %v: %v", s.addrPort(), err)
	why := refused
	if errors.Is(err, errHandshakeTimeout) {
		why = late
	}
	w.finish(s, why)
}

// debugf tells what is of interest to who looks for trouble.
func (w *Worker) debugf(format string, args ...any) { w.proxy.Debugf(1, format, args...) }

// seldom is Logf, if it was not in this second already, by what last says; else debugf.
func (w *Worker) seldom(last *atomic.Int64) func(format string, args ...any) {
	now := w.now() / int64(time.Second)
	if then := last.Load(); then != now && last.CompareAndSwap(then, now) {
		return w.proxy.Logf
	}
	return w.debugf
}
