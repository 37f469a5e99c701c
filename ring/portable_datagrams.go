package ring

import (
	"github.com/penlb/pen/internal/sock"
)

// A UDP socket has the reader of every socket, which only waits: the loop receives, and sends, by itself.

// AttachDatagrams implements Loop.
func (p *portable) AttachDatagrams(d *sock.DatagramSocket) (Sock, error) { return p.addGram(d, true) }

// OpenDatagrams implements Loop.
func (p *portable) OpenDatagrams(o *sock.DatagramOptions) (Sock, error) {
	d, err := sock.ListenDatagram(o)
	if err != nil {
		return 0, err
	}
	s, err := p.addGram(d, false)
	if err != nil {
		d.Close()
		return 0, err
	}
	p.sock(s).setPeer(sock.EndpointOf(o.Peer))
	return s, nil
}

func (p *portable) addGram(d *sock.DatagramSocket, attached bool) (Sock, error) {
	c, err := d.UDPConn()
	if err != nil {
		return 0, err
	}
	ns := p.openNet(attached)
	so := ns.so
	so.datagram, so.six, so.fd = true, gramIsSix(d), int32(d.FD())
	ns.gram, ns.gramConn = d, c
	w := &waiter{}
	w.open(c)
	ns.look = w
	return so.name, nil
}

// Receive implements Loop.
func (p *portable) Receive(s Sock, t Token) {
	p.begin(s, OpReceive, t)
	if ns := p.of(s); !ns.await {
		p.askReader(ns)
	}
}

// filled takes the report that there is something to receive on ns, or the error that ends it.
func (p *portable) filled(ns *netSock) {
	so := ns.so
	if !so.live(OpReceive) {
		return
	}
	if ns.broken != 0 {
		p.finish(so, OpReceive, ns.broken, 0, 0)
		return
	}
	p.receiveGrams(ns)
	if so.live(OpReceive) && !ns.await {
		p.askReader(ns)
	}
}

// shutGram closes the UDP socket of ns; an attached one stays open for its owner.
func (ns *netSock) shutGram() {
	if ns.gram == nil {
		return
	}
	ns.gramConn.Close()
	if !ns.so.listener {
		ns.gram.Close()
	}
	ns.gram, ns.gramConn = nil, nil
}
