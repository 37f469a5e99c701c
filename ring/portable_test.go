//go:build unix

package ring_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

// portables are the two ways in which the portable engine reads and writes.
var portables = map[string]func(ring.Options) (ring.Loop, error){
	"direct":  func(o ring.Options) (ring.Loop, error) { return ring.Open("portable", o) },
	"patient": ring.OpenPatient,
}

func TestPortable(t *testing.T) {
	for name, open := range portables {
		t.Run(name, func(t *testing.T) {
			ringtest.Test(t, func(t testing.TB) ring.Loop {
				l, err := open(ring.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return l
			})
		})
	}
}

// eachPortable runs f on a running loop of each kind. Class 1 completions go to the channel.
func eachPortable(t *testing.T, f func(t *testing.T, l ring.Loop, got <-chan ring.Completion)) {
	for name, open := range portables {
		t.Run(name, func(t *testing.T) {
			old := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, old) }) // last of all
			l, err := open(ring.Options{})
			if err != nil {
				t.Fatal(err)
			}
			h := make(recorder, 1024)
			l.Handle(1, h)
			done := make(chan error, 1)
			go func() { done <- l.Run() }()
			t.Cleanup(func() {
				l.Stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			f(t, l, h)
		})
	}
}

type recorder chan ring.Completion

func (r recorder) Complete(c *ring.Completion) { r <- *c }

// on runs f on the loop and waits for it.
func on(t *testing.T, l ring.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		t.Fatal("loop has stopped")
	}
	<-done
}

func await(t *testing.T, got <-chan ring.Completion) ring.Completion {
	t.Helper()
	select {
	case c := <-got:
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("no completion")
		return ring.Completion{}
	}
}

var tok = ring.NewToken(1, 7)

// connect connects l to a server of behaviour b.
func connect(t *testing.T, l ring.Loop, got <-chan ring.Completion, b testnet.Behaviour, o *sock.Options) ring.Sock {
	t.Helper()
	a := sock.Addr{AddrPort: testnet.Serve(t, testnet.Loopback(t), b)}
	var s ring.Sock
	on(t, l, func() {
		var err error
		if s, err = l.Connect(&a, o, tok); err != nil {
			t.Error(err)
		}
	})
	if c := await(t, got); c.Op != ring.OpConnect || c.Err != 0 || c.Sock != s {
		t.Fatalf("connect: %+v", c)
	}
	return s
}

// TestPortableLeavesTheRest checks that the engine reads a piece only when it is asked to, and that Cancel loses none.
func TestPortableLeavesTheRest(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // four buffers
		s := connect(t, l, got, testnet.HalfClose(want), nil)
		var have []byte
		for {
			on(t, l, func() { l.Recv(s, tok) })
			c := await(t, got)
			if !c.More {
				if c.Err != 0 || c.N != 0 {
					t.Errorf("end: %+v", c)
				}
				break
			}
			on(t, l, func() {
				have = append(have, l.Bytes(c.Buf)[:c.N]...)
				l.Release(c.Buf)
				l.Cancel(s, ring.OpRecv)
			})
			for c = await(t, got); c.More; c = await(t, got) {
				on(t, l, func() {
					have = append(have, l.Bytes(c.Buf)[:c.N]...)
					l.Release(c.Buf)
				})
			}
			if c.Err == 0 {
				break
			}
			if c.Err != syscall.ECANCELED {
				t.Fatalf("after Cancel: %+v", c)
			}
		}
		if !bytes.Equal(have, want) {
			t.Errorf("read %d bytes, want %d", len(have), len(want))
		}
	})
}

// TestPortableIdle checks that a socket that waits for data holds no buffer.
func TestPortableIdle(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		s := connect(t, l, got, testnet.Echo(), nil)
		on(t, l, func() { l.Recv(s, tok) })
		var b ring.Buf
		on(t, l, func() {
			if n := l.Stats().Bufs; n != 0 {
				t.Errorf("%d buffers lent to an idle loop", n)
			}
			b = l.Alloc()
			l.Send(s, b, 0, copy(l.Bytes(b), "ping"), tok)
		})
		for range 2 { // in any order
			switch c := await(t, got); {
			case c.Op == ring.OpSend && c.Err == 0 && c.N == 4:
			case c.Op == ring.OpRecv && c.N == 4:
			default:
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestPortableCloseWhileSending checks that a Send in the hands of its goroutine ends before the socket does.
func TestPortableCloseWhileSending(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		s := connect(t, l, got, testnet.Stall(0), nil)
		on(t, l, func() { l.Recv(s, tok) })
		sent := 0
		send := func() {
			b := l.Alloc()
			l.Send(s, b, 0, l.BufSize(), tok)
		}
		on(t, l, send)
		for full := false; !full; {
			select {
			case c := <-got:
				if c.Op != ring.OpSend || c.Err != 0 {
					t.Fatalf("%+v", c)
				}
				sent += c.N
				on(t, l, func() { l.Release(c.Buf); send() })
			case <-time.After(200 * time.Millisecond):
				full = true
			}
		}
		on(t, l, func() { l.Abort(s); l.Close(s, tok) })
		var ops []ring.Op
		for range 3 {
			c := await(t, got)
			if c.Op != ring.OpClose && c.Err != syscall.ECANCELED {
				t.Errorf("%+v", c)
			}
			if c.Buf != 0 {
				on(t, l, func() { l.Release(c.Buf) })
			}
			ops = append(ops, c.Op)
		}
		if ops[2] != ring.OpClose {
			t.Errorf("order: %v", ops)
		}
		on(t, l, func() {
			if st := l.Stats(); st.Socks+st.Bufs+st.Pending != 0 {
				t.Errorf("left: %+v", st)
			}
		})
	})
}

// TestPortableOptions checks what the other side and the socket say of the options of Connect.
func TestPortableOptions(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		for _, noDelay := range []bool{false, true} {
			from := netip.MustParseAddrPort("127.0.0.9:0")
			s := connect(t, l, got, testnet.Echo(), &sock.Options{Bind: from, NoDelay: noDelay})
			on(t, l, func() {
				if a := l.Local(s); a.Addr() != from.Addr() || a.Port() == 0 {
					t.Errorf("local address %v, want %v", a, from.Addr())
				}
				if v, err := syscall.GetsockoptInt(l.FD(s), syscall.IPPROTO_TCP, syscall.TCP_NODELAY); err != nil || (v != 0) != noDelay {
					t.Errorf("TCP_NODELAY = %d, %v; want %v", v, err, noDelay)
				}
			})
		}
	})
}

// TestPortableAccept checks that an Accept may be cancelled and asked for again without losing a connection.
func TestPortableAccept(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		ln, err := sock.Listen(&sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var ls ring.Sock
		on(t, l, func() {
			if ls, err = l.Attach(ln); err != nil {
				t.Error(err)
			}
		})
		at := ln.Addr()
		for range 20 {
			on(t, l, func() { l.Accept(ls, tok) })
			c, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in := await(t, got)
			if !in.More || in.Sock == 0 {
				t.Fatalf("accept: %+v", in)
			}
			on(t, l, func() {
				if a := l.Peer(in.Sock); a.String() != c.LocalAddr().String() {
					t.Errorf("peer %v, want %v", a, c.LocalAddr())
				}
				l.Cancel(ls, ring.OpAccept)
			})
			if end := await(t, got); end.More || end.Err != syscall.ECANCELED {
				t.Fatalf("cancel: %+v", end)
			}
			on(t, l, func() { l.Close(in.Sock, tok) })
			if end := await(t, got); end.Op != ring.OpClose {
				t.Fatalf("close: %+v", end)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("client: %v", err)
			}
		}
	})
}

// echoing sends on what it receives, and tells round when it has come back.
type echoing struct {
	l     ring.Loop
	s     ring.Sock
	round chan struct{}
}

func (e *echoing) Complete(c *ring.Completion) {
	switch {
	case c.Op == ring.OpSend || c.Op == ring.OpRecv && c.N > 0:
		e.l.Release(c.Buf)
		if c.Op == ring.OpRecv {
			e.round <- struct{}{}
		}
	}
}

func (e *echoing) ping() {
	b := e.l.Alloc()
	e.l.Send(e.s, b, 0, 64, ring.NewToken(2, 0))
}

// TestPortableAllocs checks that the hand-over between the loop and its goroutines costs no memory.
func TestPortableAllocs(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		s := connect(t, l, got, testnet.Echo(), nil)
		e := &echoing{l: l, s: s, round: make(chan struct{}, 1)}
		on(t, l, func() {
			l.Handle(2, e)
			l.Recv(s, ring.NewToken(2, 0))
		})
		ping := e.ping
		if n := testing.AllocsPerRun(200, func() { l.Post(ping); <-e.round }); n > 0 {
			t.Errorf("%v allocations per round", n)
		}
	})
}
