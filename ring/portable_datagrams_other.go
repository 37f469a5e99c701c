//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris)

package ring

import "github.com/penlb/pen/internal/sock"

func gramIsSix(*sock.DatagramSocket) bool { return false }

// receiveGrams takes the datagram that the reader has seen. An error is that of one datagram.
func (p *portable) receiveGrams(ns *netSock) {
	if ds, err := p.grams.in().RecvFrom(ns.gram); err == nil {
		p.arrived(ns.so, ds)
	}
}

// Transmit implements Loop.
func (p *portable) Transmit(s Sock, d *sock.Datagram) {
	ns := p.of(s)
	if ns.gram == nil {
		panic("ring: transmit on a socket that is closed, or not one of UDP")
	}
	p.grams.in().SendFrom(ns.gram, d)
}
