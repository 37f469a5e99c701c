package ringtest

import (
	"errors"
	"io"
	"syscall"

	"github.com/penlb/pen/ring"
)

var closeCases = []testCase{
	{"operations first, close last", closeOrder},
	{"with a send in flight", closeSend},
	{"late events miss the next socket", closeReuse},
	{"orderly", closeOrderly},
	{"abort", closeAbort},
	{"from the handler of its data", closeInHandler},
	{"misuse panics", closeMisuse},
}

func closeOrder(r *rig) {
	s, c := r.pair()
	rt, et := r.token(), r.token()
	r.do(func() {
		r.l.Recv(s, rt)
		r.l.Close(s, et)
	})
	op, end := r.final(rt, syscall.ECANCELED), r.final(et, 0)
	if op.seq > end.seq || end.Op != ring.OpClose || end.Sock != s {
		r.t.Errorf("recv %+v, close %+v", op, end)
	}
	expectEnd(r.t, c)
	r.balanced(0)
}

func closeSend(r *rig) {
	s, _ := r.pair()
	st := r.fill(s)
	et := r.token()
	r.do(func() { r.l.Close(s, et) })
	op, end := r.final(st, syscall.ECANCELED), r.final(et, 0)
	if op.seq > end.seq || op.Buf == 0 {
		r.t.Errorf("send %+v, close %+v", op.Completion, end.Completion)
	}
	r.balanced(0)
}

// closeReuse closes sockets that have events on their way, and opens others that get the same slots and descriptors.
func closeReuse(r *rig) {
	l := r.listen("127.0.0.1", nil)
	ls := r.attach(l)
	at := r.accept(ls)
	for i := range 300 {
		old := r.dial(l)
		s := r.expect(at).Sock
		rt, et := r.token(), r.token()
		old.Write([]byte("for the old one"))
		r.do(func() { r.l.Recv(s, rt); r.l.Close(s, et) })
		now := r.dial(l)
		s2 := r.expect(at).Sock
		rt2 := r.recv(s2)
		for {
			if res := r.expect(rt); !res.More {
				break
			}
		}
		r.final(et, 0)
		r.quiet(rt2)
		now.Write([]byte{byte(i)})
		if got := r.gather(rt2, 1); len(got) != 1 || got[0] != byte(i) {
			r.t.Fatalf("received %q", got)
		}
		r.close(s2)
		r.final(rt2, syscall.ECANCELED)
		old.Close()
		now.Close()
	}
	r.close(ls)
	r.final(at, syscall.ECANCELED)
	r.balanced(0)
}

func closeOrderly(r *rig) {
	s, c := r.pair()
	data := noise(200 << 10)
	r.await(r.stream(s, data), "the stream")
	r.close(s)
	got, err := io.ReadAll(c)
	if err != nil || len(got) != len(data) {
		r.t.Errorf("read %d bytes, %v; want %d", len(got), err, len(data))
	}
}

func closeAbort(r *rig) {
	s, c := r.pair()
	r.do(func() { r.l.Abort(s) })
	r.close(s)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		r.t.Errorf("read: %v, want a reset", err)
	}
}

func closeInHandler(r *rig) {
	s, c := r.pair()
	ended := make(chan struct{})
	et := r.hooked(func(*ring.Completion) { close(ended) })
	var finals int
	rt := r.hooked(func(co *ring.Completion) {
		if !co.More {
			finals++
			return
		}
		r.l.Release(co.Buf)
		r.l.Close(s, et)
	})
	r.do(func() { r.l.Recv(s, rt) })
	c.Write([]byte("x"))
	r.await(ended, "close")
	r.do(func() {
		if finals != 1 {
			r.t.Errorf("%d final completions of recv", finals)
		}
	})
	r.balanced(0)
}

// closeMisuse breaks the contract.
func closeMisuse(r *rig) {
	s, _ := r.pair()
	rt := r.recv(s)
	wantPanic := func(what string, f func()) {
		r.do(func() {
			defer func() {
				if recover() == nil {
					r.t.Errorf("%s: no panic", what)
				}
			}()
			f()
		})
	}
	wantPanic("two recvs", func() { r.l.Recv(s, rt) })
	wantPanic("accept on a stream", func() { r.l.Accept(s, rt) })
	wantPanic("release of no buffer", func() { r.l.Release(0) })
	wantPanic("released twice", func() {
		b := r.l.Alloc()
		r.l.Release(b)
		r.l.Release(b)
	})
	wantPanic("send beyond the buffer", func() {
		b := r.l.Alloc()
		defer r.l.Release(b)
		r.l.Send(s, b, 1, r.l.BufSize(), rt)
	})
	r.close(s)
	r.final(rt, syscall.ECANCELED)
	wantPanic("recv after close", func() { r.l.Recv(s, rt) })
	wantPanic("no such socket", func() { r.l.Recv(0, rt) })
	r.balanced(0)
}
