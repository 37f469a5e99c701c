package ringtest

import (
	"bytes"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// Transmitted is a datagram that was given to Transmit, with a copy of its data.
type Transmitted struct {
	Sock ring.Sock
	sock.Datagram
}

func (so *fakeSock) takes(op ring.Op) bool {
	if so.datagram || op == ring.OpReceive {
		return so.datagram && op == ring.OpReceive
	}
	return so.listener == (op == ring.OpAccept)
}

// AttachDatagrams implements ring.Loop. d may be nil.
func (f *Fake) AttachDatagrams(d *sock.DatagramSocket) (ring.Sock, error) {
	so := &fakeSock{listener: true, datagram: true}
	if d != nil {
		a := d.Addr()
		so.local = a.AddrPort
	}
	return f.open(so), nil
}

// OpenDatagrams implements ring.Loop. It asks ConnectError with the peer and the local address.
func (f *Fake) OpenDatagrams(o *sock.DatagramOptions) (ring.Sock, error) {
	if f.ConnectError != nil {
		if err := f.ConnectError(&sock.Addr{AddrPort: o.Peer}, &sock.Options{Bind: o.Bind}); err != nil {
			return 0, err
		}
	}
	return f.open(&fakeSock{datagram: true, local: o.Bind, peer: o.Peer}), nil
}

// Receive implements ring.Loop.
func (f *Fake) Receive(s ring.Sock, t ring.Token) {
	f.t.Helper()
	f.submit(Pending{Sock: s, Op: ring.OpReceive, Token: t})
}

// Datagrams implements ring.Loop.
func (f *Fake) Datagrams() []sock.Datagram { return f.grams }

// Transmit implements ring.Loop. Transmitted tells what was sent.
func (f *Fake) Transmit(s ring.Sock, d *sock.Datagram) {
	f.t.Helper()
	if so := f.get(s, "Transmit"); !so.datagram || so.closing {
		f.t.Fatalf("Transmit on socket %#x, which is closing or not one of UDP", uint32(s))
	}
	if f.grams == nil {
		f.t.Fatalf("Transmit while no datagrams are being handled")
	}
	c := *d
	c.Data = bytes.Clone(d.Data)
	f.sent = append(f.sent, Transmitted{s, c})
	f.counts.Sent += uint64(d.Count())
}

// Transmitted yields what was transmitted since it was called last.
func (f *Fake) Transmitted() []Transmitted {
	sent := f.sent
	f.sent = nil
	return sent
}

// Datagram lets datagrams arrive at s, whose Receive is pending. Their memory is spoilt afterwards.
func (f *Fake) Datagram(s ring.Sock, ds ...sock.Datagram) {
	f.t.Helper()
	p := f.must(s, ring.OpReceive)
	f.grams = make([]sock.Datagram, len(ds))
	for i, d := range ds {
		f.grams[i] = d
		f.grams[i].Data = bytes.Clone(d.Data)
	}
	grams := f.grams
	f.deliver(&ring.Completion{Token: p.Token, Op: ring.OpReceive, More: true, N: len(ds), Sock: s})
	f.grams = nil
	for _, d := range grams {
		for i := range d.Data {
			d.Data[i] = 0xdb
		}
	}
}
