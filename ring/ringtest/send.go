package ringtest

import (
	"bytes"
	"io"
	"syscall"
	"time"

	"github.com/penlb/pen/ring"
)

var sendCases = []testCase{
	{"part of a buffer", sendPart},
	{"hands the buffer back", sendBuf},
	{"slow reader", sendSlow},
	{"full, then reset", sendReset},
	{"after the peer has gone", sendGone},
	{"both directions at once", sendDuplex},
	{"echo", sendEcho},
}

func sendPart(r *rig) {
	s, c := r.pair()
	t := r.token()
	r.do(func() {
		b := r.l.Alloc()
		copy(r.l.Bytes(b), "0123456789")
		r.l.Send(s, b, 3, 4, t)
	})
	if res := r.final(t, 0); res.N != 4 {
		r.t.Errorf("N = %d, want 4", res.N)
	}
	expectRead(r.t, c, "3456")
	r.close(s)
	expectEnd(r.t, c)
	r.balanced(0)
}

func sendBuf(r *rig) {
	s, _ := r.pair()
	var sent, back ring.Buf
	done := make(chan struct{})
	t := r.hooked(func(co *ring.Completion) {
		back = co.Buf
		r.l.Release(co.Buf)
		close(done)
	})
	r.do(func() {
		sent = r.l.Alloc()
		r.l.Send(s, sent, 0, 1, t)
		if st := r.l.Stats(); st.Bufs != 1 || st.Pending != 1 {
			r.t.Errorf("while the send is pending: %+v", st)
		}
	})
	r.await(done, "send")
	if sent != back {
		r.t.Errorf("buffer %#x, want %#x", back, sent)
	}
	r.balanced(1)
}

// stream sends all of data over s, piece by piece, and closes done.
func (r *rig) stream(s ring.Sock, data []byte) (done chan struct{}) {
	done = make(chan struct{})
	var next func()
	next = func() {
		if len(data) == 0 {
			close(done)
			return
		}
		b := r.l.Alloc()
		n := copy(r.l.Bytes(b), data)
		data = data[n:]
		r.l.Send(s, b, 0, n, r.hooked(func(co *ring.Completion) {
			r.l.Release(co.Buf)
			if co.Err != 0 || co.N != n {
				r.t.Errorf("sent %d of %d: %v", co.N, n, co.Err)
				close(done)
				return
			}
			next()
		}))
	}
	r.do(next)
	return done
}

func sendSlow(r *rig) {
	s, c := r.pair()
	want := noise(12 << 20) // more than the send and receive buffers grow to (tcp_wmem, tcp_rmem)
	done := r.stream(s, want)
	r.do(func() {}) // let it fill what there is
	select {
	case <-done:
		r.t.Fatal("12 MB fit into a socket that nobody reads")
	default:
	}
	got := make([]byte, len(want))
	for i := 0; i < len(got); { // small reads make room for short writes
		n, err := c.Read(got[i:min(i+5000, len(got))])
		if err != nil {
			r.t.Fatal(err)
		}
		i += n
	}
	r.await(done, "the end of the stream")
	if !bytes.Equal(got, want) {
		r.t.Error("data differ")
	}
	r.close(s)
	r.balanced(0)
}

// fill sends until a send stays pending. It yields that one's token; the others are done.
func (r *rig) fill(s ring.Sock) ring.Token {
	r.t.Helper()
	piece := make([]byte, r.l.BufSize())
	for range 10_000 {
		t := r.send(s, piece)
		r.do(func() {})
		r.do(func() {})
		if !r.soon(t) {
			return t
		}
		r.final(t, 0)
	}
	r.t.Fatal("the socket never fills")
	return 0
}

// soon reports whether t has its final completion, or gets it in a moment: a goroutine of the portable engine needs one.
func (r *rig) soon(t ring.Token) bool {
	moment := time.After(200 * time.Millisecond)
	for {
		r.mu.Lock()
		ended, changed := r.ended[t], r.changed
		r.mu.Unlock()
		if ended || r.l.HasFD() {
			return ended
		}
		select {
		case <-changed:
		case <-moment:
			return false
		}
	}
}

func sendReset(r *rig) {
	s, c := r.pair()
	t := r.fill(s)
	c.SetLinger(0)
	c.Close()
	res := r.expect(t)
	if res.More || res.Err != syscall.ECONNRESET && res.Err != syscall.EPIPE {
		r.t.Errorf("completion %+v", res.Completion)
	}
	r.close(s)
	r.balanced(0)
}

func sendGone(r *rig) {
	s, c := r.pair()
	rt := r.recv(s)
	c.SetLinger(0)
	c.Close()
	r.final(rt, syscall.ECONNRESET)
	if res := r.expect(r.send(s, []byte("anybody?"))); res.Err == 0 {
		r.t.Errorf("completion %+v, want an error", res.Completion)
	}
	r.close(s)
	r.balanced(0)
}

func sendDuplex(r *rig) {
	s, c := r.pair()
	data := noise(2 << 20)
	rt := r.recv(s)
	done := r.stream(s, data)
	go func() { c.Write(data); c.CloseWrite() }()
	got, err := io.ReadAll(io.LimitReader(c, int64(len(data))))
	if err != nil || !bytes.Equal(got, data) {
		r.t.Errorf("the peer read %d bytes: %v", len(got), err)
	}
	if got := r.gather(rt, len(data)); !bytes.Equal(got, data) {
		r.t.Error("data differ")
	}
	r.final(rt, 0)
	r.await(done, "the end of the stream")
	r.close(s)
	r.balanced(0)
}

// sendEcho gives received buffers back by Send, as a relay does.
func sendEcho(r *rig) {
	s, c := r.pair()
	ended := make(chan struct{})
	r.echo(s, func() { close(ended) })
	for i := range 500 {
		msg := noise(1 + i*7)
		if _, err := c.Write(msg); err != nil {
			r.t.Fatal(err)
		}
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, msg) {
			r.t.Fatalf("message %d: %v", i, err)
		}
	}
	c.CloseWrite()
	expectEnd(r.t, c)
	r.await(ended, "the end of the echo")
	r.balanced(0)
}

// echo sends back what comes from s until its end, closes s and calls ended.
func (r *rig) echo(s ring.Sock, ended func()) {
	var (
		queue   []*ring.Completion
		sending bool
		eof     bool
		next    func()
		st      = r.token()
	)
	next = func() {
		switch {
		case sending:
		case len(queue) > 0:
			co := queue[0]
			queue = queue[1:]
			sending = true
			r.mu.Lock()
			delete(r.ended, st)
			r.mu.Unlock()
			r.l.Send(s, co.Buf, 0, co.N, st)
		case eof:
			eof = false
			r.l.Close(s, r.hooked(func(*ring.Completion) { ended() }))
		}
	}
	r.mu.Lock()
	r.hooks[st] = func(co *ring.Completion) {
		r.l.Release(co.Buf)
		sending = false
		next()
	}
	r.mu.Unlock()
	rt := r.hooked(func(co *ring.Completion) {
		if co.More {
			kept := *co
			queue = append(queue, &kept)
		} else {
			eof = true
		}
		next()
	})
	r.do(func() { r.l.Recv(s, rt) })
}
