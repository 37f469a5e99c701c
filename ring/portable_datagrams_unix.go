//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris

package ring

import "github.com/penlb/pen/internal/sock"

func gramIsSix(d *sock.DatagramSocket) bool { return d.Six() }

// receiveGrams receives as the other engines do.
func (p *portable) receiveGrams(ns *netSock) { p.core.receive(ns.so) }
