package ringtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"

	"github.com/penlb/pen/ring"
)

var recvCases = []testCase{
	{"multishot in order", recvOrder},
	{"data that came before", recvEarly},
	{"data and end together", recvDataEnd},
	{"end of stream", recvEnd},
	{"cancel and again", recvCancel},
	{"cancel keeps data", recvCancelData},
	{"reset", recvReset},
	{"data then full close", recvDataClose},
	{"urgent data does not stall", recvUrgent},
	{"half-close, then the other way", recvHalfClose},
	{"large stream", recvLarge},
}

// expectRead reads as much as want has and compares.
func expectRead(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// expectEnd reads the end of the stream.
func expectEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

// gather takes data of t until it has n bytes.
func (r *rig) gather(t ring.Token, n int) []byte {
	r.t.Helper()
	var got []byte
	for len(got) < n {
		res := r.expect(t)
		if !res.More || res.N == 0 || res.N != len(res.data) || res.Op != ring.OpRecv || res.Err != 0 {
			r.t.Fatalf("completion %+v with %d of %d bytes", res.Completion, len(got), n)
		}
		got = append(got, res.data...)
	}
	return got
}

func recvOrder(r *rig) {
	s, c := r.pair()
	rt := r.recv(s)
	for _, m := range []string{"one", "two", "three"} {
		c.Write([]byte(m))
		if got := r.gather(rt, len(m)); string(got) != m {
			r.t.Fatalf("received %q, want %q", got, m)
		}
	}
	r.cancel(s, ring.OpRecv)
	r.final(rt, syscall.ECANCELED)
	r.close(s)
	r.balanced(0)
}

func recvEarly(r *rig) {
	s, c := r.pair()
	c.Write([]byte("early"))
	r.quiet(0) // the edge, if there is one, passes without an operation
	if got := r.gather(r.recv(s), 5); string(got) != "early" {
		r.t.Errorf("received %q", got)
	}
}

func recvDataEnd(r *rig) {
	for range 20 {
		s, c := r.pair()
		c.Write([]byte("last words"))
		c.CloseWrite()
		rt := r.recv(s)
		if got := r.gather(rt, 10); string(got) != "last words" {
			r.t.Fatalf("received %q", got)
		}
		r.final(rt, 0)
		r.close(s)
	}
	r.balanced(0)
}

func recvEnd(r *rig) {
	s, c := r.pair()
	rt := r.recv(s)
	c.CloseWrite()
	if res := r.final(rt, 0); res.N != 0 || res.Buf != 0 {
		r.t.Errorf("end of stream %+v", res.Completion)
	}
	r.final(r.recv(s), 0) // and again
}

func recvCancel(r *rig) {
	s, c := r.pair()
	for i := range 5 {
		rt := r.recv(s)
		r.cancel(s, ring.OpRecv)
		r.final(rt, syscall.ECANCELED)
		r.cancel(s, ring.OpRecv) // nothing is pending
		c.Write([]byte{byte(i)})
		rt = r.recv(s)
		if got := r.gather(rt, 1); got[0] != byte(i) {
			r.t.Fatalf("received %v, want %d", got, i)
		}
		r.cancel(s, ring.OpRecv)
		r.final(rt, syscall.ECANCELED)
	}
	r.balanced(1)
}

// recvCancelData cancels and submits while data flows: none may be lost or swapped.
func recvCancelData(r *rig) {
	s, c := r.pair()
	want := noise(1 << 20)
	go func() { c.Write(want); c.CloseWrite() }()
	var got []byte
	var rt ring.Token
	ended := make(chan struct{})
	rt = r.hooked(func(co *ring.Completion) {
		if co.More {
			got = append(got, r.l.Bytes(co.Buf)[:co.N]...)
			r.l.Release(co.Buf)
			r.l.Cancel(s, ring.OpRecv)
			return
		}
		if co.Err != syscall.ECANCELED {
			if co.Err != 0 {
				r.t.Errorf("recv: %v", co.Err)
			}
			close(ended)
			return
		}
		r.mu.Lock()
		delete(r.ended, rt)
		r.mu.Unlock()
		r.l.Recv(s, rt)
	})
	r.do(func() { r.l.Recv(s, rt) })
	r.await(ended, "the end")
	if !bytes.Equal(got, want) {
		r.t.Errorf("%d bytes, want %d, or they differ", len(got), len(want))
	}
	r.close(s)
	r.balanced(0)
}

func recvReset(r *rig) {
	s, c := r.pair()
	rt := r.recv(s)
	c.SetLinger(0)
	c.Close()
	r.final(rt, syscall.ECONNRESET)
	r.close(s)
	r.balanced(0)
}

// recvDataClose has the peer close both ways at once, after data: the poller then reports a hangup.
func recvDataClose(r *rig) {
	s, c := r.pair()
	r.do(func() { r.l.Shutdown(s) })
	expectEnd(r.t, c)
	want := noise(300 << 10)
	go func() { c.Write(want); c.Close() }()
	rt := r.recv(s)
	if got := r.gather(rt, len(want)); !bytes.Equal(got, want) {
		r.t.Error("data differ")
	}
	r.final(rt, 0)
}

func recvHalfClose(r *rig) {
	s, c := r.pair()
	rt := r.recv(s)
	c.CloseWrite()
	r.final(rt, 0)
	r.final(r.send(s, []byte("still here")), 0)
	expectRead(r.t, c, "still here")
	var e syscall.Errno
	r.do(func() { e = r.l.Shutdown(s) })
	if e != 0 {
		r.t.Errorf("shutdown: %v", e)
	}
	expectEnd(r.t, c)
	r.close(s)
	r.balanced(0)
}

func recvLarge(r *rig) {
	s, c := r.pair()
	want := noise(4 << 20)
	go func() { c.Write(want); c.CloseWrite() }()
	rt := r.recv(s)
	if got := r.gather(rt, len(want)); !bytes.Equal(got, want) {
		r.t.Error("data differ")
	}
	r.final(rt, 0)
	r.close(s)
	r.balanced(0)
}

// noise is n bytes without a pattern, the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(b)
	return b
}

// recvUrgent has urgent data in the middle of a stream: a read stops at its mark with more behind it, and nothing new
// comes to tell. The urgent byte itself is not part of the stream.
func recvUrgent(r *rig) {
	for _, early := range []bool{false, true} {
		s, c := r.pair()
		var rt ring.Token
		if early {
			rt = r.recv(s)
		}
		stopped, resume := make(chan struct{}), make(chan struct{})
		r.l.Post(func() { close(stopped); <-resume }) // so that all is there when the loop looks
		<-stopped
		c.Write([]byte("before"))
		if err := sendUrgent(c, []byte("!")); err != nil {
			r.t.Error(err)
		}
		c.Write([]byte("after"))
		close(resume)
		if !early {
			r.quiet(0)
			rt = r.recv(s)
		}
		if got := r.gather(rt, 11); string(got) != "beforeafter" {
			r.t.Errorf("received %q", got)
		}
		r.close(s)
		r.final(rt, syscall.ECANCELED)
	}
	r.balanced(0)
}
