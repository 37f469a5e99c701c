package ring

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
)

// complete turns a completion of the kernel into those of the loop. No handler runs before all have been taken.
func (u *uringLoop) complete(c *cqe) {
	o := order(c.userData)
	more := c.flags&ioringCQEFMore != 0
	switch {
	case o == orderCancelAny:
		return
	case o == orderWake:
		u.woken(more)
		return
	case o.isCancel():
		u.cancelFailed(o)
		return
	}
	var b Buf
	if o.op() == OpRecv && c.flags&ioringCQEFBuffer != 0 {
		b = u.lending.take(uint16(c.flags >> ioringCQEBufferShift))
	}
	so := u.socks.get(o.sock())
	if so == nil { // cannot be: a socket outlives its operations
		u.drop(b)
		return
	}
	op := o.op()
	cancelled := !more && u.land(so, op) || so.state == stateClosing
	if u.halting {
		u.discarded(op, c.res, b)
		return
	}
	switch op {
	case OpAccept:
		u.accepted(so, c.res, more, cancelled)
	case OpRecv:
		u.received(so, c, b, more, cancelled)
	case OpReceive:
		u.receivedGram(so, c, more, cancelled)
	case OpSend:
		u.sent(so, c.res)
	case OpConnect:
		errno := resErrno(c.res)
		if errno == 0 && c.res&(unix.POLLERR|unix.POLLHUP) != 0 { // else it is writable, that is, connected
			errno = sock.Error(int(so.fd))
		}
		u.finish(so, OpConnect, errno, 0, 0)
	default:
		u.finish(so, op, resErrno(c.res), 0, 0)
	}
	u.closeIdle(so)
}

func (u *uringLoop) woken(more bool) {
	if more {
		return
	}
	u.flight--
	if !u.halting {
		u.arm(orderWake)
	}
}

// cancelFailed hears that there was nothing to cancel: most often because the operation had just completed. But an
// operation that is between being polled and being tried again is not found either, so while it goes on, ask again.
func (u *uringLoop) cancelFailed(o order) {
	so := u.socks.get(o.sock())
	if u.halting || so == nil {
		return
	}
	in := inFlag(o.op())
	if so.live(o.op()) && so.flags&in != 0 && so.flags&(in<<cancelBits) != 0 {
		u.place(o)
	}
}

// accepted handles a completion of Accept on so: the descriptor of a connection, or why there are no more.
func (u *uringLoop) accepted(so *socket, res int32, more, cancelled bool) {
	if res >= 0 {
		peer := sock.Peer(int(res))
		if !peer.IsValid() && so.flags&unixListener == 0 {
			sock.Close(int(res)) // reset while it was queued, and no address is left to judge it by
		} else {
			got := u.open(int(res), false)
			got.setPeer(peer)
			u.moreAccept(so, got.name)
		}
	}
	errno := resErrno(res)
	switch {
	case more:
	case cancelled:
		u.finish(so, OpAccept, syscall.ECANCELED, 0, 0)
	case errno == 0 || sock.DiedInQueue(errno):
		u.launch(so, OpAccept)
	default:
		u.finish(so, OpAccept, errno, 0, 0)
	}
}

// received handles a completion of Recv on so. What arrives after Close is dropped; after Cancel it is not.
func (u *uringLoop) received(so *socket, c *cqe, b Buf, more, cancelled bool) {
	res := c.res
	u.doubt(so, more && c.flags&ioringCQEFSockNonempty != 0)
	nudged := so.flags&isNudged != 0 && !more
	if nudged {
		so.flags &^= isNudged
		cancelled = so.state == stateClosing
	}
	if res > 0 && so.state == stateOpen {
		u.more(so, OpRecv, int(res), b)
	} else {
		u.drop(b)
	}
	errno := resErrno(res)
	switch {
	case more:
	case res == 0:
		u.finish(so, OpRecv, 0, 0, 0)
	case cancelled && (res > 0 || errno == syscall.ENOBUFS):
		u.finish(so, OpRecv, syscall.ECANCELED, 0, 0)
	case res > 0, errno == syscall.ENOBUFS, nudged && errno == syscall.ECANCELED:
		// had its share, or found no buffer, or is to look again
		so.flags |= isWaiting
		u.waiting = append(u.waiting, so.name)
	default:
		u.finish(so, OpRecv, errno, 0, 0)
	}
}

// doubt notes that the last completion of Recv on so told of more in the socket, or that it did not.
func (u *uringLoop) doubt(so *socket, more bool) {
	if !more {
		so.flags &^= isDoubtful
		return
	}
	if so.flags&isDoubtful == 0 {
		so.flags |= isDoubtful
		u.doubtful = append(u.doubtful, so.name)
	}
}

// nudge submits Recv anew where the kernel has told of more and then not delivered it. Multishot receives go on until
// EAGAIN, after which only new data wakes them. But tcp_recvmsg also says EAGAIN at the mark of urgent data while a
// signal is pending, such as the one by which the Go runtime preempts: what is behind the mark would lie there.
func (u *uringLoop) nudge() {
	if len(u.doubtful) == 0 || u.ring.unsettled() {
		return
	}
	for _, s := range u.doubtful {
		so := u.socks.get(s)
		if so == nil || so.flags&isDoubtful == 0 {
			continue
		}
		so.flags &^= isDoubtful
		if so.flags&(inRead|cancelRead) == inRead && so.live(OpRecv) {
			u.recall(so, OpRecv)
			so.flags |= isNudged
		}
	}
	u.doubtful = u.doubtful[:0]
}

// sent handles a completion of Send on so: done, or so far.
func (u *uringLoop) sent(so *socket, res int32) {
	if res > 0 {
		so.from += res
		so.sent += res
	}
	errno := resErrno(res)
	switch {
	case so.from == so.to:
		errno = 0
	case so.state == stateClosing && errno == 0:
		errno = syscall.ECANCELED
	case res > 0:
		u.launch(so, OpSend)
		return
	case res == 0: // send(2) does not do this with bytes to send
		errno = syscall.EPIPE
	}
	u.finish(so, OpSend, errno, int(so.sent), so.buf)
}

// discarded frees what a completion brings when nobody is left to have it.
func (u *uringLoop) discarded(op Op, res int32, b Buf) {
	u.drop(b)
	if op == OpAccept && res >= 0 {
		sock.Close(int(res))
	}
}

// drop releases b if there is one.
func (u *uringLoop) drop(b Buf) {
	if b != 0 {
		u.Release(b)
	}
}

func resErrno(res int32) syscall.Errno {
	if res >= 0 {
		return 0
	}
	return syscall.Errno(-res)
}
