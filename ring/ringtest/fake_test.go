package ringtest

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// echoer accepts on a listener and sends back what it receives, one buffer at a time.
type echoer struct {
	f     *Fake
	queue map[ring.Sock][]ring.Completion
	busy  map[ring.Sock]bool
	eof   map[ring.Sock]bool
	ends  int
}

func newEchoer(f *Fake) (*echoer, ring.Sock) {
	e := &echoer{f: f, queue: map[ring.Sock][]ring.Completion{}, busy: map[ring.Sock]bool{}, eof: map[ring.Sock]bool{}}
	f.Handle(1, e)
	l, _ := f.Attach(nil)
	f.Accept(l, ring.NewToken(1, 0))
	return e, l
}

func (e *echoer) Complete(c *ring.Completion) {
	switch c.Op {
	case ring.OpAccept:
		if c.More {
			e.f.Recv(c.Sock, ring.NewToken(1, 1))
		}
		return
	case ring.OpRecv:
		if c.More {
			e.queue[c.Sock] = append(e.queue[c.Sock], *c)
		} else {
			e.eof[c.Sock] = true
		}
	case ring.OpSend:
		e.f.Release(c.Buf)
		e.busy[c.Sock] = false
	case ring.OpClose:
		e.ends++
		return
	}
	s := c.Sock
	switch q := e.queue[s]; {
	case e.busy[s]:
	case len(q) > 0:
		e.queue[s], e.busy[s] = q[1:], true
		e.f.Send(s, q[0].Buf, 0, q[0].N, ring.NewToken(1, 2))
	case e.eof[s]:
		e.f.Close(s, ring.NewToken(1, 3))
	}
}

func TestFakeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := NewFake(t, 8)
		e, l := newEchoer(f)
		want := make(map[ring.Sock]string)
		for i := range rapid.IntRange(1, 4).Draw(t, "connections") {
			s := f.Arrive(l, addr("192.0.2.1", uint16(1000+i)).AddrPort, addr("192.0.2.2", 80).AddrPort)
			want[s] = ""
		}
		got := make(map[ring.Sock]string)
		for e.ends < len(want) {
			ready := f.Ready()
			p := ready[rapid.IntRange(0, len(ready)-1).Draw(t, "which")]
			switch {
			case p.Op == ring.OpAccept:
				continue
			case p.Op == ring.OpRecv && rapid.Bool().Draw(t, "data"):
				msg := fmt.Sprintf("%d bytes for %d;", len(want[p.Sock]), p.Sock)
				want[p.Sock] += msg
				f.Data(p.Sock, []byte(msg))
				continue
			case p.Op == ring.OpClose:
				got[p.Sock] = string(f.Sent(p.Sock))
			}
			f.Finish(p.Sock, p.Op)
		}
		for s := range want {
			if got[s] != want[s] {
				t.Fatalf("socket %d echoed %q, want %q", s, got[s], want[s])
			}
		}
		f.Close(l, ring.NewToken(1, 4))
		f.Settle()
		f.Balanced(0)
	})
}

func TestFakeTime(t *testing.T) {
	f := NewFake(t, 8)
	var got []string
	f.Handle(2, handlerFunc(func(c *ring.Completion) {
		got = append(got, fmt.Sprintf("%d at %d", c.Token.Value(), f.Now()))
	}))
	start := f.Now()
	f.After(30, ring.NewToken(2, 3))
	f.After(10, ring.NewToken(2, 1))
	f.After(10, ring.NewToken(2, 2))
	f.StopTimer(f.After(20, ring.NewToken(2, 9)))
	if d, ok := f.NextTimer(); d != 10 || !ok {
		t.Errorf("NextTimer = %v, %v", d, ok)
	}
	f.Advance(29)
	f.Advance(time.Duration(1))
	want := fmt.Sprintf("1 at %d, 2 at %d, 3 at %d", start+10, start+10, start+30)
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("timers %s, want %s", s, want)
	}
	f.Balanced(0)
}

type handlerFunc func(*ring.Completion)

func (h handlerFunc) Complete(c *ring.Completion) { h(c) }

// failure catches what a Fake says of its user.
type failure struct{ msg string }

func (*failure) Helper()                        {}
func (f *failure) Errorf(s string, args ...any) { f.msg = fmt.Sprintf(s, args...) }
func (f *failure) Fatalf(s string, args ...any) {
	f.Errorf(s, args...)
	panic(f)
}

func TestFakeChecksContract(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(f *Fake, s ring.Sock)
		want string
	}{
		{"twice", func(f *Fake, s ring.Sock) { f.Recv(s, 0); f.Recv(s, 0) }, "while recv is pending"},
		{"recv and readable", func(f *Fake, s ring.Sock) { f.Recv(s, 0); f.Readable(s, 0) }, "while recv is pending"},
		{"after close", func(f *Fake, s ring.Sock) { f.Close(s, 0); f.Recv(s, 0) }, "after close"},
		{"closed", func(f *Fake, s ring.Sock) { f.Close(s, 0); f.Settle(); f.Recv(s, 0) }, "not open"},
		{"close first", func(f *Fake, s ring.Sock) { f.Recv(s, 0); f.Close(s, 0); f.Finish(s, ring.OpClose) }, "before the others"},
		{"accept on a stream", func(f *Fake, s ring.Sock) { f.Accept(s, 0) }, "wrong kind"},
		{"released while sent", func(f *Fake, s ring.Sock) { b := f.Alloc(); f.Send(s, b, 0, 1, 0); f.Release(b) }, "while it is being sent"},
		{"released twice", func(f *Fake, s ring.Sock) { b := f.Alloc(); f.Release(b); f.Release(b) }, "not lent"},
		{"left over", func(f *Fake, s ring.Sock) { f.Alloc(); f.Balanced(1) }, "left over"},
		{"short send", func(f *Fake, s ring.Sock) { f.Send(s, f.Alloc(), 0, 8, 0); f.Complete(s, ring.OpSend, 0, 3) }, "3 of 8 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fail := &failure{}
			f := NewFake(fail, 8)
			f.Descriptors = true
			f.Handle(0, handlerFunc(func(*ring.Completion) {}))
			s, err := f.Connect(addr("192.0.2.1", 80), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.Finish(s, ring.OpConnect)
			func() {
				defer func() {
					if v := recover(); v != nil && v != fail {
						panic(v)
					}
				}()
				tt.do(f, s)
			}()
			if !strings.Contains(fail.msg, tt.want) {
				t.Errorf("says %q, want %q", fail.msg, tt.want)
			}
		})
	}
}

func TestFakeConnectError(t *testing.T) {
	f := NewFake(t, 8)
	f.ConnectError = func(*sock.Addr, *sock.Options) error { return syscall.EMFILE }
	if s, err := f.Connect(addr("192.0.2.1", 80), nil, 0); s != 0 || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Connect = %v, %v", s, err)
	}
	f.Balanced(0)
}
