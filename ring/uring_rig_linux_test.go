package ring

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// newTestLoop opens the engine, or skips where there is none, and lets prepare set it up before it runs.
func newTestLoop(t testing.TB, prepare func(*uringLoop)) *uringLoop {
	t.Helper()
	u, err := openURingLoop(theKernel(), Options{})
	if err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	if prepare != nil {
		prepare(u)
	}
	done := make(chan error, 1)
	go func() { done <- u.Run() }()
	t.Cleanup(func() {
		u.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return u
}

// on runs f on the loop and waits for it.
func on(t testing.TB, l Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		t.Fatal("loop has stopped")
	}
	<-done
}

// eventually waits until ok, which runs on the loop, is true.
func eventually(t testing.TB, l Loop, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var good bool
		on(t, l, func() { good = ok() })
		if good {
			return
		}
		if time.Now().After(end) {
			var s Stats
			on(t, l, func() { s = l.Stats() })
			t.Fatalf("not %s: %+v", what, s)
		}
	}
}

func listenLoopback(t testing.TB) *sock.Listener {
	t.Helper()
	l, err := sock.Listen(&sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo sends back what it receives, in order, and stops receiving while it holds limit buffers of a socket.
type echo struct {
	l     Loop
	limit int
	conns map[Sock]*echoConn // open ones
}

type echoConn struct {
	bufs      []Buf
	lens      []int
	sending   bool
	receiving bool
	ended     bool
}

const echoClass = 1

// newEcho lets u serve what arrives at a listener, whose address it returns. Call it before Run.
func newEcho(t testing.TB, u *uringLoop, limit int) (*echo, string) {
	t.Helper()
	e := &echo{l: u, limit: limit, conns: map[Sock]*echoConn{}}
	u.Handle(echoClass, e)
	l := listenLoopback(t)
	s, err := u.Attach(l)
	if err != nil {
		t.Fatal(err)
	}
	u.Accept(s, NewToken(echoClass, 0))
	a := l.Addr()
	return e, a.String()
}

func (e *echo) Complete(c *Completion) {
	if c.Op == OpAccept {
		if c.More {
			e.conns[c.Sock] = &echoConn{}
			e.step(c.Sock, e.conns[c.Sock])
		}
		return
	}
	ec := e.conns[c.Sock]
	switch {
	case ec == nil: // Close is under way
		if c.Buf != 0 {
			e.l.Release(c.Buf)
		}
		return
	case c.Op == OpSend:
		e.l.Release(c.Buf)
		n := copy(ec.bufs, ec.bufs[1:])
		copy(ec.lens, ec.lens[1:])
		ec.bufs, ec.lens = ec.bufs[:n], ec.lens[:n]
		ec.sending = false
		ec.ended = ec.ended || c.Err != 0
	case c.More:
		ec.bufs, ec.lens = append(ec.bufs, c.Buf), append(ec.lens, c.N)
		if len(ec.bufs) == e.limit {
			e.l.Cancel(c.Sock, OpRecv)
		}
	default:
		ec.receiving = false
		ec.ended = ec.ended || c.Err != syscall.ECANCELED
	}
	e.step(c.Sock, ec)
}

func (e *echo) step(s Sock, ec *echoConn) {
	switch {
	case ec.sending:
	case len(ec.bufs) > 0:
		ec.sending = true
		e.l.Send(s, ec.bufs[0], 0, ec.lens[0], NewToken(echoClass, 0))
	case ec.ended:
		delete(e.conns, s)
		e.l.Close(s, NewToken(echoClass, 0))
	case !ec.receiving:
		ec.receiving = true
		e.l.Recv(s, NewToken(echoClass, 0))
	}
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// exchange sends n random bytes through the echo and compares what comes back.
func exchange(c net.Conn, n int) error {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rand.Uint32())
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(out)
		sent <- err
	}()
	in := make([]byte, n)
	if _, err := io.ReadFull(c, in); err != nil {
		return err
	}
	if !bytes.Equal(in, out) {
		return errors.New("what came back is not what was sent")
	}
	return <-sent
}

func openFDs(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

type handlerFunc func(*Completion)

func (f handlerFunc) Complete(c *Completion) { f(c) }
