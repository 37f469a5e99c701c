package ringtest

import (
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

var connectCases = []testCase{
	{"tcp", connectTCP},
	{"ipv6", connectIPv6},
	{"unix", connectUnix},
	{"refused", connectRefused},
	{"unix, nobody there", connectUnixGone},
	{"unix, full queue", connectUnixFull},
	{"bound to an address", connectBound},
	{"cancel one that hangs", connectCancel},
	{"close one that hangs", connectClose},
	{"close at once", connectCloseNow},
	{"recv and send submitted before", connectEager},
}

// server accepts one connection in package net.
func (r *rig) server(network, address string) (*sock.Addr, <-chan net.Conn) {
	r.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		r.t.Fatal(err)
	}
	conns := make(chan net.Conn, 1)
	go func() {
		defer close(conns)
		if c, err := l.Accept(); err == nil {
			conns <- c
		}
	}()
	r.t.Cleanup(func() {
		l.Close()
		if c := <-conns; c != nil {
			c.Close()
		}
	})
	if t, ok := l.Addr().(*net.TCPAddr); ok {
		return &sock.Addr{AddrPort: t.AddrPort()}, conns
	}
	return &sock.Addr{Path: address}, conns
}

// mustConnect connects and waits for it.
func (r *rig) mustConnect(a *sock.Addr, o *sock.Options) ring.Sock {
	r.t.Helper()
	s, t, err := r.connect(a, o)
	if err != nil {
		r.t.Fatal(err)
	}
	if res := r.final(t, 0); res.Sock != s || res.Op != ring.OpConnect {
		r.t.Fatalf("completion %+v, want one of socket %#x", res.Completion, s)
	}
	return s
}

// talk sends a message each way.
func (r *rig) talk(s ring.Sock, c net.Conn) {
	r.t.Helper()
	r.final(r.send(s, []byte("ping")), 0)
	expectRead(r.t, c, "ping")
	rt := r.recv(s)
	c.Write([]byte("pong"))
	if got := r.gather(rt, 4); string(got) != "pong" {
		r.t.Errorf("received %q", got)
	}
	r.close(s)
	r.final(rt, syscall.ECANCELED)
	expectEnd(r.t, c)
}

func connectTCP(r *rig) {
	a, conns := r.server("tcp", "127.0.0.1:0")
	s := r.mustConnect(a, &sock.Options{NoDelay: true})
	c := <-conns
	defer c.Close()
	checkAddresses(r, s, c)
	r.talk(s, c)
	r.balanced(0)
}

func connectIPv6(r *rig) {
	a, conns := r.server("tcp", "[::1]:0")
	s := r.mustConnect(a, nil)
	c := <-conns
	defer c.Close()
	checkAddresses(r, s, c)
	r.talk(s, c)
}

func connectUnix(r *rig) {
	a, conns := r.server("unix", filepath.Join(r.t.(*testing.T).TempDir(), "s"))
	s := r.mustConnect(a, nil)
	c := <-conns
	defer c.Close()
	r.talk(s, c)
	r.balanced(0)
}

func connectRefused(r *rig) {
	l := r.listen("127.0.0.1", nil)
	a := l.Addr()
	l.Close()
	s, t, err := r.connect(&a, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.final(t, syscall.ECONNREFUSED)
	r.balanced(1) // it stays open until closed
	r.close(s)
	r.balanced(0)
}

func connectUnixGone(r *rig) {
	a := sock.Addr{Path: filepath.Join(r.t.(*testing.T).TempDir(), "nobody")}
	s, t, err := r.connect(&a, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.final(t, syscall.ENOENT)
	r.close(s)
	r.balanced(0)
}

// connectUnixFull finds the listener's queue full. There is no handshake that could wait: connect(2) says EAGAIN, or
// ECONNREFUSED on the BSDs, and that is the outcome.
func connectUnixFull(r *rig) {
	l := r.listenUnix(&sock.ListenOptions{Backlog: 1})
	a := l.Addr()
	var full bool
	for range 8 {
		s, t, err := r.connect(&a, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		res := r.expect(t)
		switch res.Err {
		case 0:
		case syscall.EAGAIN, syscall.ECONNREFUSED:
			full = true
			r.close(s)
		default:
			r.t.Fatalf("completion %+v", res.Completion)
		}
	}
	if !full {
		r.t.Error("a queue of one takes eight connections")
	}
}

func connectBound(r *rig) {
	a, conns := r.server("tcp", "127.0.0.1:0")
	from := netip.MustParseAddr("127.0.0.1")
	s := r.mustConnect(a, &sock.Options{Bind: netip.AddrPortFrom(from, 0)})
	c := <-conns
	defer c.Close()
	if got := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != from {
		r.t.Errorf("connected from %v, want %v", got, from)
	}
	r.close(s)
	// The address of another family is ignored.
	a, conns = r.server("tcp", "127.0.0.1:0")
	r.mustConnect(a, &sock.Options{Bind: netip.MustParseAddrPort("[::1]:0")})
	(<-conns).Close()
}

// hanging starts a connect that hears nothing: the listener's queue is full, so its SYN is dropped.
func (r *rig) hanging() (ring.Sock, ring.Token) {
	r.t.Helper()
	l := r.listen("127.0.0.1", &sock.ListenOptions{Backlog: 1})
	a := l.Addr()
	var s ring.Sock
	var t ring.Token
	for range 8 {
		var err error
		if s, t, err = r.connect(&a, nil); err != nil {
			r.t.Fatal(err)
		}
	}
	r.quiet(t)
	return s, t
}

func connectCancel(r *rig) {
	s, t := r.hanging()
	r.cancel(s, ring.OpConnect)
	r.final(t, syscall.ECANCELED)
	r.close(s)
}

func connectClose(r *rig) {
	s, t := r.hanging()
	r.close(s)
	r.final(t, syscall.ECANCELED)
}

func connectCloseNow(r *rig) {
	a, _ := r.server("tcp", "127.0.0.1:0")
	ct, et := r.token(), r.token()
	r.do(func() {
		s, err := r.l.Connect(a, nil, ct)
		if err != nil {
			r.t.Errorf("connect: %v", err)
			return
		}
		r.l.Close(s, et)
	})
	conn, end := r.expect(ct), r.final(et, 0)
	if conn.More || conn.Err != 0 && conn.Err != syscall.ECANCELED || conn.seq > end.seq {
		r.t.Errorf("connect %+v, close %+v", conn, end)
	}
	r.balanced(0)
}

// connectEager does not wait for the connect before it goes on.
func connectEager(r *rig) {
	a, conns := r.server("tcp", "127.0.0.1:0")
	ct, st, rt := r.token(), r.token(), r.token()
	var s ring.Sock
	r.do(func() {
		var err error
		if s, err = r.l.Connect(a, nil, ct); err != nil {
			r.t.Errorf("connect: %v", err)
			return
		}
		r.l.Recv(s, rt)
		b := r.l.Alloc()
		r.l.Send(s, b, 0, copy(r.l.Bytes(b), "at once"), st)
	})
	r.final(ct, 0)
	c := <-conns
	defer c.Close()
	r.final(st, 0)
	expectRead(r.t, c, "at once")
	c.Write([]byte("yes"))
	if got := r.gather(rt, 3); string(got) != "yes" {
		r.t.Errorf("received %q", got)
	}
	r.close(s)
	r.final(rt, syscall.ECANCELED)
	r.balanced(0)
}
