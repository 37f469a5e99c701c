package ring

import (
	"net"
	"syscall"
	"testing"
)

// TestURingStalledReaders lets more readers stop than the kernel's ring has buffers: the others must not notice.
func TestURingStalledReaders(t *testing.T) {
	const stalled, limit = 80, 8
	var addr string
	var e *echo
	u := newTestLoop(t, func(u *uringLoop) { e, addr = newEcho(t, u, limit) })
	for range stalled {
		c := dial(t, addr)
		c.(*net.TCPConn).SetReadBuffer(4096)
		go func() { // until its peer stops receiving; the cleanup closes c
			b := make([]byte, 64<<10)
			for {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, u, "stalled", func() bool { return u.Stats().Bufs > ringBufs+50 })
	c := dial(t, addr)
	for range 50 {
		if err := exchange(c, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	if u.share == 0 {
		t.Skip("this kernel cannot limit a receive")
	}
	on(t, u, func() {
		for _, ec := range e.conns {
			if len(ec.bufs) > limit+recvShare {
				t.Errorf("a stalled reader holds %d buffers", len(ec.bufs))
			}
		}
	})
}

// TestURingStarvation holds every buffer there is and lets no more be mapped: receivers without one wait for a
// Release and then go on, without the caller noticing.
func TestURingStarvation(t *testing.T) {
	const hungry = 20
	var held []Buf
	got := 0
	l := listenLoopback(t)
	u := newTestLoop(t, func(u *uringLoop) {
		u.feed()
		u.lending.arena.mmap = func(int) ([]byte, error) { return nil, syscall.ENOMEM }
		u.lending.arena.spare = nil
		u.Handle(echoClass, handlerFunc(func(c *Completion) {
			switch {
			case c.Op == OpAccept && c.More:
				u.Recv(c.Sock, NewToken(echoClass, 0))
			case c.Op == OpRecv && c.More:
				held = append(held, c.Buf)
				got++
			case c.Op == OpRecv && c.Err != 0:
				t.Errorf("the caller notices: %+v", *c)
			}
		}))
		s, err := u.Attach(l)
		if err != nil {
			t.Fatal(err)
		}
		u.Accept(s, NewToken(echoClass, 0))
	})
	a := l.Addr()
	for range ringBufs + hungry {
		if _, err := dial(t, a.String()).Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, u, "starved", func() bool { return got == ringBufs && len(u.waiting) == hungry })
	on(t, u, func() {
		for _, b := range held {
			u.Release(b)
		}
		held = nil
	})
	eventually(t, u, "fed", func() bool { return got == ringBufs+hungry && len(u.waiting) == 0 })
}

// TestURingNudge submits a Recv anew behind the caller's back.
func TestURingNudge(t *testing.T) {
	var e *echo
	var addr string
	u := newTestLoop(t, func(u *uringLoop) { e, addr = newEcho(t, u, 8) })
	c := dial(t, addr)
	for range 100 {
		if err := exchange(c, 10); err != nil {
			t.Fatal(err)
		}
		on(t, u, func() {
			for s := range e.conns {
				u.doubt(u.sock(s), true)
			}
		})
	}
	eventually(t, u, "nudged", func() bool { return len(u.doubtful) == 0 })
	var s Stats
	on(t, u, func() {
		for s := range e.conns { // cancelled while it is being nudged: the caller's cancel counts
			u.doubt(u.sock(s), true)
			u.nudge()
			u.Cancel(s, OpRecv) // the echo then receives again
		}
	})
	if err := exchange(c, 100_000); err != nil {
		t.Fatal(err)
	}
	if on(t, u, func() { s = u.Stats() }); s.Pending != 2 {
		t.Errorf("%d operations pending, want an accept and a receive", s.Pending)
	}
}
