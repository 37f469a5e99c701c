package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Serve answers the clients of l, one command per connection, until ctx ends; then it closes l, lets a command that
// is being executed finish, and returns. It blocks. Commands come from any number of clients and are executed one at
// a time; a client that says nothing, or does not read its reply, holds up nobody: when places are short it is closed,
// though not before it had a moment to speak.
//
// A command ends at a newline, a carriage return or end of stream, after MaxLine bytes, or where the client makes a
// pause. Further lines are dropped. TCP clients must be permitted by control_acl; others are closed without a word.
func (e *Env) Serve(ctx context.Context, l net.Listener) {
	newServer(e).serve(ctx, l)
}

// server is one control socket being served.
type server struct {
	// constant after newServer

	env        *Env
	maxClients int           // connections at the same time; the one that we have waited for longest makes room
	grace      time.Duration // for each client to speak, and to read, before it has to make room
	patience   time.Duration // for a command to be complete, and for each piece of a reply to be taken
	pause      time.Duration // silence that ends a command without newline
	drain      time.Duration // for what follows the command

	// guarded by mu

	mu      sync.Mutex
	changed sync.Cond // a session has left, or waits for its client again
	open    []*session

	sessions sync.WaitGroup
}

const (
	replyPiece = 64 << 10 // bytes of reply under one deadline
	drainBytes = 1 << 20  // read and dropped, lest closing resets the connection and takes the reply along
	maxBackoff = time.Second
)

func newServer(e *Env) *server {
	s := &server{env: e, maxClients: 64, grace: 250 * time.Millisecond, patience: 5 * time.Second, pause: time.Second, drain: time.Second}
	s.changed.L = &s.mu
	return s
}

// session is the connection of one client.
type session struct {
	conn net.Conn

	// guarded by server.mu
	busy  bool      // executing: it cannot be evicted
	since time.Time // when that began, or the wait for the client
}

func (s *server) serve(ctx context.Context, l net.Listener) {
	defer s.sessions.Wait()
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		s.closeWaiting()
	})
	defer stop()
	backoff := time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			backoff = time.Millisecond
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely
			s.env.Logf("control: accept: %v", err)
			sleep(ctx, backoff)
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		if !s.permitted(conn.RemoteAddr()) {
			conn.Close()
			continue
		}
		sn := s.enter(ctx, conn)
		if sn == nil {
			conn.Close()
			return
		}
		s.sessions.Go(func() { s.talk(sn) })
	}
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// permitted asks control_acl about a peer. Unix sockets are guarded by their permissions.
func (s *server) permitted(peer net.Addr) bool {
	addr := netip.Addr{}
	if tcp, ok := peer.(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr()
	}
	return s.env.ACL.Permits(s.env.Settings.Get().ControlACL, addr)
}

// trust is how far a peer is trusted: who reaches a Unix socket is on this machine.
func trust(peer net.Addr) Trust {
	if _, ok := peer.(*net.UnixAddr); ok {
		return Local
	}
	return Remote
}

// enter gives conn a session, once there is room for it; nil if ctx ends before.
func (s *server) enter(ctx context.Context, conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil {
		if len(s.open) < s.maxClients {
			sn := &session{conn: conn, since: time.Now()}
			s.open = append(s.open, sn)
			return sn
		}
		if wait := s.evict(); wait > 0 {
			later := time.AfterFunc(wait, s.changed.Signal)
			s.changed.Wait()
			later.Stop()
		}
	}
	return nil
}

// evict closes the session that has waited longest for its client, if that had its grace. Otherwise it tells how long
// to wait for one. It needs mu.
func (s *server) evict() (wait time.Duration) {
	var oldest *session
	for _, o := range s.open {
		if !o.busy && (oldest == nil || o.since.Before(oldest.since)) {
			oldest = o
		}
	}
	if oldest == nil {
		return time.Hour // commands are under way: one of them will say so
	}
	if wait = s.grace - time.Since(oldest.since); wait > 0 {
		return wait
	}
	oldest.conn.Close()
	s.open = slices.DeleteFunc(s.open, func(o *session) bool { return o == oldest })
	return 0
}

// leave ends a session, evicted or not.
func (s *server) leave(sn *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sn.conn.Close()
	if i := slices.Index(s.open, sn); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
	}
	s.changed.Signal()
}

// setBusy tells that sn executes, or no longer does; false means that it has been evicted meanwhile.
func (s *server) setBusy(sn *session, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sn.busy, sn.since = busy, time.Now()
	s.changed.Signal()
	return slices.Contains(s.open, sn)
}

// closeWaiting ends all sessions that wait for their clients, when the server stops.
func (s *server) closeWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sn := range s.open {
		if !sn.busy {
			sn.conn.Close()
		}
	}
	s.changed.Signal()
}

// talk reads a command, executes it and sends the reply.
func (s *server) talk(sn *session) {
	defer s.leave(sn)
	line, err := s.readLine(sn.conn)
	if err != nil || !s.setBusy(sn, true) {
		return
	}
	reply, _ := s.env.execute(line, Position{Source: "control"}, trust(sn.conn.RemoteAddr()))
	if !s.setBusy(sn, false) {
		return
	}
	for piece := range slices.Chunk(reply, replyPiece) {
		_ = sn.conn.SetWriteDeadline(time.Now().Add(s.patience))
		if _, err := sn.conn.Write(piece); err != nil {
			return
		}
	}
	if c, ok := sn.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		_ = sn.conn.SetReadDeadline(time.Now().Add(s.drain))
		_, _ = io.Copy(io.Discard, io.LimitReader(sn.conn, drainBytes))
	}
}

// readLine reads up to the end of the command. A client that falls silent within it has ended it, one that sent
// nothing at all, or broke the connection, is an error.
func (s *server) readLine(conn net.Conn) (string, error) {
	var buf [MaxLine]byte
	n := 0
	end := time.Now().Add(s.patience)
	_ = conn.SetReadDeadline(end)
	for n < len(buf) {
		m, err := conn.Read(buf[n:])
		stop := bytes.ContainsAny(buf[n:n+m], "\r\n")
		n += m
		if stop {
			break
		}
		if err != nil {
			var timeout net.Error
			silent := errors.As(err, &timeout) && timeout.Timeout()
			if n > 0 && (silent || errors.Is(err, io.EOF)) {
				break
			}
			return "", err
		}
		if pause := time.Now().Add(s.pause); pause.Before(end) {
			_ = conn.SetReadDeadline(pause)
		} else {
			_ = conn.SetReadDeadline(end)
		}
	}
	return string(buf[:n]), nil
}
