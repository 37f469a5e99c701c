package tlsloop

import (
	"crypto/tls"
	"sync"
	"syscall"

	"github.com/penlb/pen/ring"
)

// Loop is a loop with TLS. It belongs to the goroutine of the loop that it wraps.
type Loop struct {
	ring.Loop
	class    ring.Class // of the operations on the wrapped loop that are ours
	slots    Slots
	done     func(ring.Token, error)
	handlers [256]ring.Handler
	conns    []*conn // by slot of the socket
	shaking  sync.WaitGroup
}

// slotMask is the part of a ring.Sock that is its slot.
const slotMask = 1<<24 - 1

// New wraps l, before it runs and before handlers are set. Class is one that nobody else uses. The outcome of each
// handshake goes to done, on the loop: nil, or why it failed; the caller then closes the socket.
func New(l ring.Loop, class ring.Class, slots Slots, done func(ring.Token, error)) *Loop {
	t := &Loop{Loop: l, class: class, slots: slots, done: done}
	l.Handle(class, completions(t.complete))
	return t
}

// completions is a ring.Handler that is a function.
type completions func(*ring.Completion)

func (f completions) Complete(c *ring.Completion) { f(c) }

// Handle implements ring.Loop.
func (l *Loop) Handle(c ring.Class, h ring.Handler) {
	l.handlers[c] = h
	l.Loop.Handle(c, h)
}

// HasFD implements ring.Loop: descriptors must not be used past us.
func (l *Loop) HasFD() bool { return false }

// Secure begins a handshake on s, an accepted socket that nothing is pending on. Its outcome goes to done with t,
// unless s is closed before. It has no deadline: the caller closes s.
func (l *Loop) Secure(s ring.Sock, conf *tls.Config, t ring.Token) {
	l.add(newConn(l, s, tls.Server, conf, t))
}

// SecureClient is Secure for the other side: s is connected to a server, which conf says how to verify.
func (l *Loop) SecureClient(s ring.Sock, conf *tls.Config, t ring.Token) {
	k := newConn(l, s, tls.Client, conf, t)
	l.add(k)
	k.begin()
}

// add makes k known, and reads what its peer has to say.
func (l *Loop) add(k *conn) {
	i := int(k.sock & slotMask)
	for len(l.conns) <= i {
		l.conns = append(l.conns, make([]*conn, 256)...)
	}
	l.conns[i] = k
	k.read()
}

// Wait ends the handshakes that are left once the loop has ended, and returns when they have.
func (l *Loop) Wait() {
	for _, k := range l.conns {
		if k != nil {
			k.wire.abandon()
		}
	}
	l.shaking.Wait()
}

// find is the TLS connection on s, nil if there is none.
func (l *Loop) find(s ring.Sock) *conn {
	if i := int(s & slotMask); i < len(l.conns) && l.conns[i] != nil && l.conns[i].sock == s {
		return l.conns[i]
	}
	return nil
}

// complete takes the completions of our own operations.
func (l *Loop) complete(c *ring.Completion) {
	k := l.find(ring.Sock(c.Token.Value()))
	switch c.Op {
	case ring.OpRecv:
		k.received(c)
	case ring.OpSend:
		k.sent(c)
	case ring.OpTimer:
		k.timer = 0
		k.closeNow()
	case ring.OpClose:
		l.conns[k.sock&slotMask] = nil
		k.closed()
	}
}

// Recv implements ring.Loop.
func (l *Loop) Recv(s ring.Sock, t ring.Token) {
	if k := l.find(s); k != nil {
		k.recv(t)
		return
	}
	l.Loop.Recv(s, t)
}

// Send implements ring.Loop. On a TLS connection it completes when all but the last of the records that it made have
// been written, so that what is left can travel with the next; Close sees to it if there is no next.
func (l *Loop) Send(s ring.Sock, b ring.Buf, off, n int, t ring.Token) {
	if k := l.find(s); k != nil {
		k.send(b, off, n, t)
		return
	}
	l.Loop.Send(s, b, off, n, t)
}

// Cancel implements ring.Loop.
func (l *Loop) Cancel(s ring.Sock, op ring.Op) {
	if k := l.find(s); k != nil {
		if op == ring.OpRecv {
			k.cancel()
		}
		return
	}
	l.Loop.Cancel(s, op)
}

// Shutdown implements ring.Loop. On a TLS connection it says close_notify, and the end of the stream follows when that
// has been written.
func (l *Loop) Shutdown(s ring.Sock) syscall.Errno {
	if k := l.find(s); k != nil {
		k.shutdown()
		return 0
	}
	return l.Loop.Shutdown(s)
}

// Abort implements ring.Loop.
func (l *Loop) Abort(s ring.Sock) {
	if k := l.find(s); k != nil {
		k.aborted = true
	}
	l.Loop.Abort(s)
}

// Close implements ring.Loop. A TLS connection that is not in the middle of a Send first gets its last words out, if
// the peer takes them within lastWords.
func (l *Loop) Close(s ring.Sock, t ring.Token) {
	if k := l.find(s); k != nil {
		k.close(t)
		return
	}
	l.Loop.Close(s, t)
}

// Readable and Writable are for those who use descriptors; see HasFD.
func (l *Loop) Readable(s ring.Sock, t ring.Token) { l.plain(s); l.Loop.Readable(s, t) }

// Writable is as Readable.
func (l *Loop) Writable(s ring.Sock, t ring.Token) { l.plain(s); l.Loop.Writable(s, t) }

func (l *Loop) plain(s ring.Sock) {
	if l.find(s) != nil {
		panic("tlsloop: readiness of a TLS connection")
	}
}
