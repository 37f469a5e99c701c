package ring

import "golang.org/x/sys/unix"

// order names an operation for the kernel, and is its user data: the socket (slot and generation) in the low half,
// the kind above. What else belongs to it stands in the table of sockets, so an order can wait until there is room.
type order uint64

const (
	orderCancel    order = 0x80 << 32 // beside an operation: cancel it
	orderWake      order = 0x40 << 32 // poll the eventfd
	orderCancelAny order = 0x41 << 32 // cancel all there is
)

func orderOf(s Sock, op Op) order { return order(s) | order(op)<<32 }

func (o order) sock() Sock     { return Sock(uint32(o)) }
func (o order) op() Op         { return Op(o >> 32 & 0x3f) }
func (o order) isCancel() bool { return o&orderCancel != 0 }

// The ring is restricted to what fill writes.
var (
	uringOps = []uint8{ioringOpPollAdd, ioringOpAccept, ioringOpAsyncCancel, ioringOpSend, ioringOpRecv, ioringOpRecvmsg}
	// and, of io_uring_register(2), to what a bound ring needs
	uringRegisterOps = []uint8{ioringRegisterRingFDs, ioringUnregisterRingFDs}
)

const uringSQEFlags = iosqeBufferSelect | iosqeCQESkipSuccess

// Flags of a socket: a trio per side. The kernel has its operation; a cancel of that was ordered; the operation is a
// Recv in uringLoop.waiting.
const (
	inRead sockFlags = 1 << iota
	inWrite
	inConn
	cancelRead
	cancelWrite
	cancelConn
	isWaiting
	isDoubtful   // see uringLoop.doubtful
	isNudged     // its Recv is cancelled to be submitted anew
	unixListener // no peer addresses
	isTroubled   // its Receive has ended by an error of the socket
	isEnded      // a UDP socket in uringLoop.ended
)

const (
	inKernel   = inRead | inWrite | inConn
	cancelBits = 3 // from in… to cancel…
)

// inFlag is the flag that the kernel has the operation op.
func inFlag(op Op) sockFlags {
	switch op {
	case OpSend, OpWritable:
		return inWrite
	case OpConnect:
		return inConn
	}
	return inRead
}

// launch gives the operation op of so to the kernel.
func (u *uringLoop) launch(so *socket, op Op) {
	so.flags |= inFlag(op)
	u.arm(orderOf(so.name, op))
}

// land notes that the kernel is done with op. It reports whether a cancel had been ordered.
func (u *uringLoop) land(so *socket, op Op) (cancelled bool) {
	in := inFlag(op)
	cancelled = so.flags&(in<<cancelBits) != 0
	so.flags &^= in | in<<cancelBits
	u.flight--
	return cancelled
}

// recall orders the cancel of op, which the kernel has. Its final completion will come as any other.
func (u *uringLoop) recall(so *socket, op Op) {
	in := inFlag(op)
	if in == inRead {
		so.flags &^= isNudged // somebody wants it gone for good
	}
	if so.flags&(in<<cancelBits) == 0 {
		so.flags |= in << cancelBits
		u.place(orderOf(so.name, op) | orderCancel)
	}
}

// recallAll orders the cancel of all that the kernel has of so.
func (u *uringLoop) recallAll(so *socket) {
	for _, p := range [...]*pendingOp{&so.conn, &so.read, &so.write} {
		if p.op != OpNone && so.flags&inFlag(p.op) != 0 {
			u.recall(so, p.op)
		}
	}
}

// arm places an order that will complete.
func (u *uringLoop) arm(o order) {
	u.flight++
	u.place(o)
}

// place puts o into the submission queue, after all that was placed before.
func (u *uringLoop) place(o order) {
	if len(u.backlog) > 0 || !u.push(o) {
		u.backlog = append(u.backlog, o)
	}
}

// catchUp places what had no room.
func (u *uringLoop) catchUp() {
	n := 0
	for n < len(u.backlog) && u.push(u.backlog[n]) {
		n++
	}
	u.backlog = append(u.backlog[:0], u.backlog[n:]...)
}

// push reports whether there was room for o.
func (u *uringLoop) push(o order) bool {
	e := u.ring.getSQE()
	if e == nil && u.bound {
		u.ring.submit()
		e = u.ring.getSQE()
	}
	if e == nil {
		return false
	}
	u.fill(e, o)
	return true
}

// fill writes o as a submission queue entry. The socket is open: it is not closed while an order of it is under way.
func (u *uringLoop) fill(e *sqe, o order) {
	if o.isCancel() {
		e.prepCancel(uint64(o&^orderCancel), uint64(o))
		return
	}
	if o == orderWake {
		e.prepPollAdd(u.wakeFD, unix.POLLIN, true, uint64(o))
		return
	}
	so := u.sock(o.sock())
	fd := int(so.fd)
	switch o.op() {
	case OpAccept:
		e.prepMultishotAccept(fd, uint64(o))
	case OpConnect, OpWritable:
		e.prepPollAdd(fd, unix.POLLOUT, false, uint64(o))
	case OpRecv:
		e.prepMultishotRecv(fd, bufGroup, u.share, uint64(o))
	case OpReceive:
		e.prepMultishotRecvmsg(fd, slotGroup, u.slots.header, uint64(o))
	case OpReadable:
		e.prepPollAdd(fd, unix.POLLIN|unix.POLLRDHUP, false, uint64(o))
	case OpSend:
		b := u.Bytes(so.buf)[so.from:so.to]
		e.prepSend(fd, b, unix.MSG_WAITALL|unix.MSG_NOSIGNAL, uint64(o))
	}
}
