package ring

import (
	"net/netip"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// Attach implements Loop.
func (u *uringLoop) Attach(l *sock.Listener) (Sock, error) {
	so := u.open(l.FD(), true)
	if a := l.Addr(); a.IsUnix() {
		so.flags |= unixListener
	}
	return so.name, nil
}

// Accept implements Loop.
func (u *uringLoop) Accept(l Sock, t Token) { u.launch(u.begin(l, OpAccept, t), OpAccept) }

// Connect implements Loop.
func (u *uringLoop) Connect(a *sock.Addr, o *sock.Options, t Token) (Sock, error) {
	fd, err := sock.Open(a, o)
	if err != nil {
		return 0, err
	}
	errno := sock.Connect(fd, a)
	so := u.open(fd, false)
	so.setPeer(sock.EndpointOf(a.AddrPort))
	u.begin(so.name, OpConnect, t)
	if errno == syscall.EINPROGRESS {
		u.launch(so, OpConnect)
	} else {
		u.finish(so, OpConnect, errno, 0, 0)
	}
	return so.name, nil
}

// Recv implements Loop.
func (u *uringLoop) Recv(s Sock, t Token) { u.launch(u.begin(s, OpRecv, t), OpRecv) }

// Send implements Loop.
func (u *uringLoop) Send(s Sock, b Buf, off, n int, t Token) {
	checkRange(off, n, len(u.Bytes(b)))
	so := u.begin(s, OpSend, t)
	so.buf, so.from, so.to, so.sent = b, int32(off), int32(off+n), 0
	u.launch(so, OpSend)
}

// Readable implements Loop.
func (u *uringLoop) Readable(s Sock, t Token) { u.launch(u.begin(s, OpReadable, t), OpReadable) }

// Writable implements Loop.
func (u *uringLoop) Writable(s Sock, t Token) { u.launch(u.begin(s, OpWritable, t), OpWritable) }

// Cancel implements Loop.
func (u *uringLoop) Cancel(s Sock, op Op) {
	so := u.sock(s)
	if op == OpSend || op == OpClose || !so.live(op) {
		return
	}
	u.withdraw(so, op)
}

// withdraw ends op, which is live on so.
func (u *uringLoop) withdraw(so *socket, op Op) {
	if so.flags&inFlag(op) != 0 {
		u.recall(so, op)
		return
	}
	so.flags &^= isWaiting | isEnded // nothing else is live without being in the kernel
	u.finish(so, op, syscall.ECANCELED, 0, 0)
}

// Shutdown implements Loop.
func (u *uringLoop) Shutdown(s Sock) syscall.Errno { return sock.Shutdown(u.FD(s)) }

// Abort implements Loop.
func (u *uringLoop) Abort(s Sock) { sock.SetAbort(u.FD(s)) }

// Close implements Loop.
func (u *uringLoop) Close(s Sock, t Token) {
	so := u.begin(s, OpClose, t)
	if so.datagram {
		u.grams.flush() // while the number is ours
	}
	for _, p := range [...]*pendingOp{&so.conn, &so.read, &so.write} {
		if p.op != OpNone && !p.done {
			u.withdraw(so, p.op)
		}
	}
	u.closeIdle(so)
}

// closeIdle closes a socket on which Close was called, once the kernel has let go of it.
func (u *uringLoop) closeIdle(so *socket) {
	if so.state != stateClosing || so.flags&inKernel != 0 {
		return
	}
	if !so.listener {
		sock.Close(int(so.fd))
	}
	so.fd = -1
	u.finish(so, OpClose, 0, 0, 0)
}

// HasFD implements Loop.
func (u *uringLoop) HasFD() bool { return true }

// FD implements Loop.
func (u *uringLoop) FD(s Sock) int { return int(u.sock(s).fd) }

// Local implements Loop.
func (u *uringLoop) Local(s Sock) netip.AddrPort {
	e := sock.Local(u.FD(s))
	return e.AddrPort()
}
