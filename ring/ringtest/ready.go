//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package ringtest

import (
	"syscall"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

var readyCases = []testCase{
	{"readable now", withFD(readyNow)},
	{"readable later", withFD(readyLater)},
	{"again while data is left", withFD(readyLevel)},
	{"readable at the end", withFD(readyEnd)},
	{"readable by a reset", withFD(readyReset)},
	{"a writable socket does not wake readable", withFD(readyNotWritable)},
	{"writable", withFD(readyWritable)},
	{"both", withFD(readyBoth)},
	{"cancel and close", withFD(readyCancel)},
	{"and back to recv and send", withFD(readyBack)},
}

// withFD runs f if the engine's sockets are descriptors; else there is only that to test.
func withFD(f func(*rig)) func(*rig) {
	return func(r *rig) {
		if r.l.HasFD() {
			f(r)
			return
		}
		s, _ := r.pair()
		r.do(func() {
			defer func() {
				if recover() == nil {
					r.t.Error("Readable did not panic without HasFD")
				}
			}()
			r.l.Readable(s, ring.NewToken(class, 0))
		})
	}
}

func (r *rig) readable(s ring.Sock) ring.Token {
	t := r.token()
	r.do(func() { r.l.Readable(s, t) })
	return t
}

func (r *rig) writable(s ring.Sock) ring.Token {
	t := r.token()
	r.do(func() { r.l.Writable(s, t) })
	return t
}

// take reads n bytes from the descriptor of s.
func (r *rig) take(s ring.Sock, n int) string {
	r.t.Helper()
	b := make([]byte, n)
	var e syscall.Errno
	r.do(func() { n, e = sock.Recv(r.l.FD(s), b) })
	if e != 0 {
		r.t.Fatalf("recv: %v", e)
	}
	return string(b[:n])
}

func readyNow(r *rig) {
	s, c := r.pair()
	c.Write([]byte("here"))
	r.quiet(0)
	if res := r.final(r.readable(s), 0); res.Op != ring.OpReadable || res.Sock != s {
		r.t.Errorf("completion %+v", res.Completion)
	}
	if got := r.take(s, 10); got != "here" {
		r.t.Errorf("read %q", got)
	}
	r.quiet(r.readable(s))
}

func readyLater(r *rig) {
	s, c := r.pair()
	for range 5 {
		t := r.readable(s)
		r.quiet(t)
		c.Write([]byte("x"))
		r.final(t, 0)
		r.take(s, 10)
	}
	r.balanced(1)
}

// readyLevel leaves data: each Readable must find it, without a new edge.
func readyLevel(r *rig) {
	s, c := r.pair()
	c.Write([]byte("abc"))
	for _, want := range []string{"a", "b", "c"} {
		r.final(r.readable(s), 0)
		r.final(r.readable(s), 0)
		if got := r.take(s, 1); got != want {
			r.t.Errorf("read %q, want %q", got, want)
		}
	}
	t := r.readable(s)
	r.quiet(t)
	c.CloseWrite()
	r.final(t, 0)
}

func readyEnd(r *rig) {
	s, c := r.pair()
	t := r.readable(s)
	c.CloseWrite()
	r.final(t, 0)
	if got := r.take(s, 1); got != "" {
		r.t.Errorf("read %q, want the end", got)
	}
	r.final(r.readable(s), 0) // it stays so
}

func readyReset(r *rig) {
	s, c := r.pair()
	t := r.readable(s)
	c.SetLinger(0)
	c.Close()
	r.final(t, 0)
	r.final(r.writable(s), 0) // an error is readiness, too
}

func readyNotWritable(r *rig) {
	s, c := r.pair()
	t := r.readable(s)
	for range 3 {
		r.final(r.writable(s), 0)
		r.quiet(t)
	}
	c.Write([]byte("x"))
	r.final(t, 0)
}

func readyWritable(r *rig) {
	s, c := r.pair()
	r.final(r.writable(s), 0)
	chunk := make([]byte, 1<<16)
	fill := func() (n int) {
		r.do(func() {
			for {
				m, e := sock.Send(r.l.FD(s), chunk)
				if e != 0 {
					return
				}
				n += m
			}
		})
		return n
	}
	n := fill()
	t := r.writable(s)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for buf := make([]byte, 1<<16); n > 0; {
			m, err := c.Read(buf)
			if err != nil {
				r.t.Errorf("read: %v", err)
				return
			}
			n -= m
		}
	}()
	r.final(t, 0)
	r.await(drained, "the reader")
}

func readyBoth(r *rig) {
	s, c := r.pair()
	rt, wt := r.token(), r.token()
	r.do(func() { r.l.Readable(s, rt); r.l.Writable(s, wt) })
	r.final(wt, 0)
	r.quiet(rt)
	c.Write([]byte("x"))
	r.final(rt, 0)
	rt, wt = r.token(), r.token()
	r.do(func() { r.l.Writable(s, wt); r.l.Readable(s, rt) })
	r.final(wt, 0)
	r.final(rt, 0)
	r.balanced(1)
}

func readyCancel(r *rig) {
	s, c := r.pair()
	t := r.readable(s)
	r.cancel(s, ring.OpReadable)
	r.final(t, syscall.ECANCELED)
	c.Write([]byte("x"))
	r.final(r.readable(s), 0)
	r.take(s, 1)
	t = r.readable(s)
	r.close(s)
	r.final(t, syscall.ECANCELED)
	r.balanced(0)
}

// readyBack goes from moving bytes by descriptor back to the loop's buffers, with data, room and end in between.
func readyBack(r *rig) {
	s, c := r.pair()
	for i := range 4 {
		rt := r.recv(s)
		c.Write([]byte("by recv"))
		r.gather(rt, 7)
		r.cancel(s, ring.OpRecv)
		r.final(rt, syscall.ECANCELED)
		r.final(r.send(s, []byte("by send")), 0)
		expectRead(r.t, c, "by send")
		t := r.readable(s)
		c.Write([]byte("by fd"))
		r.final(t, 0)
		r.take(s, 1+i) // leaves some, and at last nothing
		rt = r.recv(s)
		if got := r.gather(rt, 5-1-i); string(got) != "by fd"[1+i:] {
			r.t.Errorf("received %q", got)
		}
		r.cancel(s, ring.OpRecv)
		r.final(rt, syscall.ECANCELED)
		r.final(r.writable(s), 0)
	}
	rt := r.readable(s) // narrows what is watched to the other direction
	st := r.fill(s)
	r.quiet(rt)
	go func() {
		for buf := make([]byte, 1<<16); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}()
	r.final(st, 0)
	c.CloseWrite()
	r.final(rt, 0)
	r.final(r.recv(s), 0)
}
