package ring

import (
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// UDP sockets are polled through the ring, one poll per batch, and read and written as the other engines do it: with
// a socket of its own for each session there is nothing to gain from receiving through the ring (3.60 to 3.78 us per
// datagram), and recvmmsg can give memory back that was not used, which a ring of 64 KB buffers cannot.

// AttachDatagrams implements Loop.
func (u *uringLoop) AttachDatagrams(d *sock.DatagramSocket) (Sock, error) {
	return u.openGram(d.FD(), d.Six(), true).name, nil
}

// OpenDatagrams implements Loop.
func (u *uringLoop) OpenDatagrams(o *sock.DatagramOptions) (Sock, error) {
	so, err := u.openDatagrams(o)
	if err != nil {
		return 0, err
	}
	return so.name, nil
}

// Receive implements Loop.
func (u *uringLoop) Receive(s Sock, t Token) { u.launch(u.begin(s, OpReceive, t), OpReceive) }

// polled handles the end of a poll for Receive on so.
func (u *uringLoop) polled(so *socket, res int32, cancelled bool) {
	errno := resErrno(res)
	switch {
	case cancelled:
		u.finish(so, OpReceive, syscall.ECANCELED, 0, 0)
	case errno != 0:
		u.finish(so, OpReceive, errno, 0, 0)
	default:
		so.flags |= isFilled
		u.filled = append(u.filled, so.name)
	}
}

// receiveFilled takes from each socket that was found to have something, and polls it again.
func (u *uringLoop) receiveFilled() {
	for _, s := range u.filled {
		so := u.socks.get(s)
		if so == nil || so.flags&isFilled == 0 { // cancelled or closed by a handler before
			continue
		}
		u.core.receive(so)
		if so = u.socks.get(s); so != nil && so.flags&isFilled != 0 {
			so.flags &^= isFilled
			u.launch(so, OpReceive)
		}
	}
	u.filled = u.filled[:0]
	u.grams.flush()
}
