//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package ring

import "github.com/penlb/pen/internal/sock"

// UDP sockets are watched by level, while a Receive is pending: after a datagram was taken the poller is asked anyway,
// and tells whether there is another, so that the call that would only say EAGAIN is saved without a promise about
// short reads, which datagrams cannot make.

// AttachDatagrams implements Loop.
func (r *readiness) AttachDatagrams(d *sock.DatagramSocket) (Sock, error) {
	return r.openGram(d.FD(), d.Six(), true).name, nil
}

// OpenDatagrams implements Loop.
func (r *readiness) OpenDatagrams(o *sock.DatagramOptions) (Sock, error) {
	so, err := r.openDatagrams(o)
	if err != nil {
		return 0, err
	}
	return so.name, nil
}

// Receive implements Loop.
func (r *readiness) Receive(s Sock, t Token) {
	so := r.begin(s, OpReceive, t)
	if e := r.register(so, evRead|evLevel); e != 0 {
		r.finish(so, OpReceive, e, 0, 0)
	}
}
