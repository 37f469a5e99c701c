package ring_test

import (
	"net/netip"
	"testing"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// pingPong is a client and an echo on one loop: it allocates nothing itself.
type pingPong struct {
	l      ring.Loop
	server ring.Sock
	client ring.Sock
	rounds int // left
	done   chan struct{}
}

const (
	pingAccept = iota
	pingConnect
	pingRecv
	pingSend
)

func pingToken(v uint64) ring.Token { return ring.NewToken(1, v) }

func (p *pingPong) Complete(c *ring.Completion) {
	switch c.Token.Value() {
	case pingAccept:
		p.server = c.Sock
		p.l.Recv(c.Sock, pingToken(pingRecv))
	case pingConnect:
		p.l.Recv(c.Sock, pingToken(pingRecv))
		p.done <- struct{}{}
	case pingSend:
		p.l.Release(c.Buf)
	case pingRecv:
		if c.Sock == p.client {
			if p.rounds--; p.rounds == 0 {
				p.l.Release(c.Buf)
				p.done <- struct{}{}
				return
			}
		}
		p.l.Send(c.Sock, c.Buf, 0, c.N, pingToken(pingSend))
	}
}

func (p *pingPong) start() {
	p.rounds = 100
	b := p.l.Alloc()
	p.l.Send(p.client, b, 0, 64, pingToken(pingSend))
}

// TestEchoAllocatesNothing: 100 round trips, with two receives and two sends each, cost no allocation.
func TestEchoAllocatesNothing(t *testing.T) {
	for _, a := range ring.Probe() {
		if !a.OK || a.Name == "portable" { // package net allocates
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			l, err := ring.Open(a.Name, ring.Options{})
			if err != nil {
				t.Fatal(err)
			}
			p := &pingPong{l: l, done: make(chan struct{}, 1)}
			l.Handle(1, p)
			ended := make(chan error, 1)
			go func() { ended <- l.Run() }()
			defer func() {
				l.Stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			addr := sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}
			ln, err := sock.Listen(&addr, &sock.ListenOptions{NoDelay: true})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			l.Post(func() {
				s, err := l.Attach(ln)
				if err != nil {
					t.Error(err)
					return
				}
				l.Accept(s, pingToken(pingAccept))
				a := ln.Addr()
				if p.client, err = l.Connect(&a, &sock.Options{NoDelay: true}, pingToken(pingConnect)); err != nil {
					t.Error(err)
				}
			})
			<-p.done
			start := p.start
			// A run is 100 round trips, so one allocation per run is none of theirs: the race detector has one for the post.
			if n := testing.AllocsPerRun(20, func() { l.Post(start); <-p.done }); n > 1 {
				t.Errorf("%v allocations in 100 round trips", n)
			}
		})
	}
}
