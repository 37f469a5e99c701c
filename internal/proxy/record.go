package proxy

import (
	"syscall"
	"time"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

// cause is why a connection has ended, one word of the log.
type cause uint8

const (
	byClient    cause = iota + 1 // it ended its stream first
	byServer                     // likewise
	clientReset                  // the client reset the connection, or is no longer there
	serverReset
	idle         // idle_timeout
	late         // the client did not finish its TLS handshake
	refused      // a TLS handshake that failed, or a request that cannot be framed
	noServer     // none could be connected to
	noDescriptor // it waited for one, and had to make room for another that did
	byOperator   // `close`
	withProgram  // pen itself ended
)

func (c cause) String() string {
	return [...]string{byClient: "client", byServer: "server", clientReset: "client-reset", serverReset: "server-reset",
		idle: "idle", late: "timeout", refused: "refused", noServer: "no-server", noDescriptor: "no-descriptor",
		byOperator: "operator", withProgram: "exit"}[c]
}

// note remembers what was the first to end s, once its relay has seen c.
func (s *session) note(c *ring.Completion) {
	switch {
	case s.why != 0:
	case c.Err != 0 && c.Err != syscall.ECANCELED:
		if s.why = serverReset; c.Sock == s.down {
			s.why = clientReset
		}
	case s.relay.Ended(splice.Up):
		s.why = byClient
	case s.relay.Ended(splice.Down):
		s.why = byServer
	}
}

// ended is why s, whose relay is done, has ended: a reset outranks an end that came before it.
func (s *session) ended() cause {
	switch {
	case s.why == refused:
	case s.relay.Err(splice.Up) != 0, s.why == 0: // neither takes anything any more
		return clientReset
	case s.relay.Err(splice.Down) != 0:
		return serverReset
	}
	return s.why
}

// request is the first line that a client has sent, in the form of the log.
type request struct {
	n    uint8
	text [100]byte // as many as a log has
}

// records reports whether a line is wanted for each connection at its end.
func (w *Worker) records() bool {
	f, on := w.log.Format()
	return on && f == accesslog.JSON
}

// keep keeps the first line of data, the first piece that s has received from its client.
func (w *Worker) keep(s *session, data []byte) {
	for len(w.requests) <= int(s.slot/chunkLen) {
		w.requests = append(w.requests, nil)
	}
	c := &w.requests[s.slot/chunkLen]
	if *c == nil {
		*c = new([chunkLen]request)
	}
	r := &(*c)[s.slot%chunkLen]
	r.n = uint8(len(accesslog.AppendRequest(r.text[:0], data)))
	s.asked = true
}

// record logs s, which has ended for the reason why, if such lines are wanted.
func (w *Worker) record(s *session, why cause) {
	if !w.records() {
		return
	}
	w.line = accesslog.Line{Time: w.now(), Client: s.addrPort().Addr(), Path: "-", Up: s.relay.Bytes(splice.Up),
		Down: s.relay.Bytes(splice.Down), Duration: time.Duration(w.loop.Now() - s.began), Cause: why.String()}
	if s.server != balance.None {
		t := w.proxy.Servers.Target(int(s.server))
		w.line.Server, w.line.Path = t.Addr, t.Path
	}
	if i := int(s.slot / chunkLen); s.asked && i < len(w.requests) && w.requests[i] != nil {
		r := &w.requests[i][s.slot%chunkLen]
		w.line.Request = r.text[:r.n]
	}
	w.log.Add(&w.line)
}
