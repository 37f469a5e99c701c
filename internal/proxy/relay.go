package proxy

import (
	"syscall"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

// linger is how long a socket that has said all waits for the peer's end of stream, so that closing it with unread
// input does not reset the connection and take the answer away from the peer.
const linger = 2 * time.Second

// dummyAnswer is what pen says to any input in dummy mode.
const dummyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: text/html\r\n\r\nUlric was here."

// session takes a completion of s.
func (w *Worker) session(s *session, c *ring.Completion) {
	if s.state == closing {
		w.closing(s, c)
		return
	}
	if c.Op == ring.OpTimer {
		s.timer = 0
		w.expired(s)
		return
	}
	if c.Sock != s.down && c.Sock != s.up { // of a server that was given up
		if c.Buf != 0 {
			w.loop.Release(c.Buf)
		}
		return
	}
	switch s.state {
	case connecting:
		w.reached(s, c.Err)
	case relaying:
		s.active = w.loop.Now()
		w.touch(s)
		ev := s.relay.Complete(w.pump, c)
		if ev == splice.Chunk {
			ev = w.chunk(s, c)
		}
		if s.note(c); ev == splice.Done {
			w.finish(s, s.ended())
		}
	case answering:
		w.answered(s, c)
	}
}

// watch arms the idle timeout of s, if there is one.
func (w *Worker) watch(s *session, st *settings.Settings) {
	if st.IdleTimeout > 0 {
		s.timer = w.loop.After(st.IdleTimeout, s.token())
	}
}

// expired takes the timer of s: the server did not answer in time, or the session may have been idle for too long.
func (w *Worker) expired(s *session) {
	switch s.state {
	case securing:
		w.secured(s.token(), errHandshakeTimeout)
	case connecting:
		w.connected(s, syscall.ETIMEDOUT)
	case relaying:
		st := w.proxy.Settings.Get()
		if st.IdleTimeout <= 0 {
			return
		}
		if left := st.IdleTimeout - time.Duration(w.loop.Now()-s.active); left > 0 {
			s.timer = w.loop.After(left, s.token())
			return
		}
		w.finish(s, idle)
	case answering:
		w.finish(s, byServer)
	}
}

// finish accounts for s, which ends for the reason why, and closes its sockets. The places it held are given back before a peer can see the close.
func (w *Worker) finish(s *session, why cause) {
	if s.timer != 0 {
		w.loop.StopTimer(s.timer)
		s.timer = 0
	}
	if s.state == connecting {
		w.proxy.pending.Add(-1)
	}
	w.touch(s)
	w.settle(s)
	w.record(s, why)
	if s.server != balance.None {
		w.proxy.Servers.Release(int(s.server))
	}
	s.state = closing
	s.relay.Close(w.pump)
	w.loop.Close(s.down, s.token())
	if s.up != 0 {
		w.loop.Close(s.up, s.token())
	}
}

// closing takes what comes in for a session that is being closed: late completions, then the end of each socket.
func (w *Worker) closing(s *session, c *ring.Completion) {
	if c.Op != ring.OpClose {
		s.relay.Drop(w.pump, c)
		return
	}
	if s.open--; s.open > 0 {
		return
	}
	w.proxy.numbers.put(int(s.number))
	w.slab.put(s)
	w.proxy.wake()
}

// answer serves s in dummy mode: one fixed answer to whatever comes first.
func (w *Worker) answer(s *session) {
	s.state = answering
	w.loop.Recv(s.down, s.token())
}

// answered takes the completions of dummy mode.
func (w *Worker) answered(s *session, c *ring.Completion) {
	if c.Buf != 0 {
		w.loop.Release(c.Buf)
	}
	switch c.Op {
	case ring.OpRecv:
		if c.N == 0 {
			w.finish(s, byClient)
		} else if s.timer == 0 {
			b := w.loop.Alloc()
			n := copy(w.loop.Bytes(b), dummyAnswer)
			w.loop.Send(s.down, b, 0, n, s.token())
			s.timer = w.loop.After(linger, s.token())
		}
	case ring.OpSend:
		if c.Err != 0 {
			w.finish(s, clientReset)
			return
		}
		w.loop.Shutdown(s.down)
	}
}
