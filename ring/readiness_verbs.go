//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package ring

import (
	"fmt"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// Attach implements Loop.
func (r *readiness) Attach(l *sock.Listener) (Sock, error) {
	so := r.open(l.FD(), true)
	if l.NoDelay() && !sock.InheritsNoDelay {
		so.flags |= wantNoDelay
	}
	if e := r.register(so, evRead); e != 0 {
		r.discard(so)
		a := l.Addr()
		return 0, fmt.Errorf("watch listener %s: %w", &a, e)
	}
	return so.name, nil
}

// Accept implements Loop.
func (r *readiness) Accept(l Sock, t Token) { r.activate(r.begin(l, OpAccept, t)) }

// Connect implements Loop.
func (r *readiness) Connect(a *sock.Addr, o *sock.Options, t Token) (Sock, error) {
	fd, err := sock.Open(a, o)
	if err != nil {
		return 0, err
	}
	e := sock.Connect(fd, a)
	so := r.open(fd, false)
	so.setPeer(sock.EndpointOf(a.AddrPort))
	so.flags = untrusted(&so.peer)
	if e == 0 || e == syscall.EINPROGRESS {
		if err := r.register(so, evAll); err != 0 {
			sock.Close(fd)
			r.discard(so)
			return 0, err
		}
	}
	r.begin(so.name, OpConnect, t)
	if e != syscall.EINPROGRESS {
		so.flags |= canRead | canWrite // after an error the next call on the socket tells more
		r.finish(so, OpConnect, e, 0, 0)
	}
	return so.name, nil
}

// Recv implements Loop.
func (r *readiness) Recv(s Sock, t Token) {
	so := r.begin(s, OpRecv, t)
	r.require(so, evRead|evUrgent)
	r.activate(so)
}

// Send implements Loop. It tries at once: mostly there is room, and then the bytes are on their way a turn earlier.
func (r *readiness) Send(s Sock, b Buf, off, n int, t Token) {
	checkRange(off, n, len(r.bufs.bytes(b)))
	so := r.begin(s, OpSend, t)
	so.buf, so.from, so.to, so.sent = b, int32(off), int32(off+n), 0
	if so.flags&canWrite != 0 && so.conn.op == OpNone {
		r.send(so)
		return
	}
	r.require(so, evWrite)
}

// Readable implements Loop.
func (r *readiness) Readable(s Sock, t Token) { r.watch(r.begin(s, OpReadable, t), OpReadable) }

// Writable implements Loop.
func (r *readiness) Writable(s Sock, t Token) { r.watch(r.begin(s, OpWritable, t), OpWritable) }

// watch has the poller look at so again: the caller moves bytes by itself, so our flags do not tell whether so is
// ready, and its edge may have passed. Only what is waited for is asked for: the other direction would wake us in vain.
func (r *readiness) watch(so *socket, op Op) {
	var ev events
	if so.live(OpReadable) {
		ev |= evRead | evHangup // without evUrgent: its level stays up for as long as nobody reads
	}
	if so.live(OpRecv) {
		ev |= evRead | evHangup | evUrgent
	}
	if so.live(OpSend) || so.live(OpWritable) || so.live(OpConnect) {
		ev |= evWrite
	}
	if e := r.poll.modify(int(so.fd), so.name, ev); e != 0 {
		r.finish(so, op, e, 0, 0) // a socket that could not even start to connect
		return
	}
	so.mask = uint32(ev)
}

// Cancel implements Loop.
func (r *readiness) Cancel(s Sock, op Op) {
	if so := r.sock(s); op != OpSend && op != OpClose && so.live(op) {
		if op == OpReceive {
			r.poll.remove(int(so.fd))
		}
		r.finish(so, op, syscall.ECANCELED, 0, 0)
	}
}

// Shutdown implements Loop.
func (r *readiness) Shutdown(s Sock) syscall.Errno { return sock.Shutdown(r.FD(s)) }

// Abort implements Loop.
func (r *readiness) Abort(s Sock) { sock.SetAbort(r.FD(s)) }

// Close implements Loop.
func (r *readiness) Close(s Sock, t Token) {
	so := r.begin(s, OpClose, t)
	if so.datagram {
		r.grams.flush() // or its number may be another's before what was transmitted on it has left
	}
	r.cancelAll(so)
	if so.listener {
		r.poll.remove(int(so.fd))
	} else {
		sock.Close(int(so.fd)) // takes it from the poller, too
	}
	so.fd = -1
	r.finish(so, OpClose, 0, 0, 0)
}
