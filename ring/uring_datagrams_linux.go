package ring

import (
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// Receive is a multishot recvmsg into slots, so that neither a poll nor a system call is needed for each datagram: 5 % of
// what 1,000 clients cost, 8 % of setting up a session. Answers leave as on the other engines. To send through the ring
// what leaves a socket alone gained 2 % for 1,000 clients and was left: it took trains apart (a hot client cost a quarter
// more), and an error came when the datagram was gone.

// AttachDatagrams implements Loop.
func (u *uringLoop) AttachDatagrams(d *sock.DatagramSocket) (Sock, error) {
	if err := u.slots.use(); err != nil {
		return 0, err
	}
	return u.addGram(u.openGram(d.FD(), d.Six(), true)), nil
}

// OpenDatagrams implements Loop.
func (u *uringLoop) OpenDatagrams(o *sock.DatagramOptions) (Sock, error) {
	if err := u.slots.use(); err != nil {
		return 0, err
	}
	so, err := u.openDatagrams(o)
	if err != nil {
		return 0, err
	}
	return u.addGram(so), nil
}

// addGram makes so known by its descriptor.
func (u *uringLoop) addGram(so *socket) Sock {
	for int(so.fd) >= len(u.gramOf) {
		u.gramOf = append(u.gramOf, 0)
	}
	u.gramOf[so.fd] = so.name
	return so.name
}

// Receive implements Loop.
func (u *uringLoop) Receive(s Sock, t Token) { u.launch(u.begin(s, OpReceive, t), OpReceive) }

// receivedGram handles a completion of Receive on so. The datagram that it brings waits for handOver.
func (u *uringLoop) receivedGram(so *socket, c *cqe, more, cancelled bool) {
	if c.flags&ioringCQEFBuffer != 0 {
		u.slots.take(so.name, c)
	}
	switch errno := resErrno(c.res); {
	case more:
	case cancelled:
		u.finish(so, OpReceive, syscall.ECANCELED, 0, 0)
	case errno == syscall.EINVAL || errno == syscall.EOPNOTSUPP: // and always will be
		u.finish(so, OpReceive, errno, 0, 0)
	default: // no slot, or an error, of which the socket will tell more
		if errno != 0 && errno != syscall.ENOBUFS {
			so.flags |= isTroubled
		}
		so.flags |= isEnded
		u.ended = append(u.ended, so.name)
	}
}

// handOver gives what has been received to its handlers, what these have transmitted to the kernel, and then the slots.
func (u *uringLoop) handOver() {
	for got := u.slots.got; len(got) > 0; {
		n := 1
		for n < len(got) && got[n].sock == got[0].sock {
			n++
		}
		if so := u.socks.get(got[0].sock); so != nil && so.state == stateOpen && so.read.op == OpReceive {
			if ds := u.slots.read(got[:n]); len(ds) > 0 {
				u.arrived(so, ds)
			}
		}
		got = got[n:]
	}
	u.grams.flush()
	u.hearTroubles()
	u.resume()
	u.grams.flush()
	u.slots.giveBack()
}

// hearTroubles asks the sockets whose errors were met by sending, so that Receive does not hear of them.
func (u *uringLoop) hearTroubles() {
	if u.grams.batch == nil {
		return
	}
	for _, fd := range u.grams.batch.Troubled() {
		if so := u.socks.get(u.gramOf[fd]); so != nil && int(so.fd) == fd {
			u.hear(so)
		}
	}
}

// hearMost bounds how often a socket is asked for news in one turn, 64 at a time.
const hearMost = 32

// hear hands on what the socket knows of peers that could not be reached.
func (u *uringLoop) hear(so *socket) {
	for range hearMost {
		if so.state != stateOpen || so.read.op != OpReceive {
			return
		}
		ds := u.grams.in().Unreachable(int(so.fd))
		if len(ds) == 0 {
			return
		}
		u.arrived(so, ds)
	}
}

// resume submits the receives that the kernel has ended, except for those that a handler has cancelled meanwhile.
func (u *uringLoop) resume() {
	for _, s := range u.ended {
		so := u.socks.get(s)
		if so == nil || so.flags&isEnded == 0 {
			continue
		}
		if so.flags&isTroubled != 0 {
			so.flags &^= isTroubled
			u.hear(so)
		}
		if so = u.socks.get(s); so != nil && so.flags&isEnded != 0 {
			so.flags &^= isEnded
			u.launch(so, OpReceive)
		}
	}
	u.ended = u.ended[:0]
}
