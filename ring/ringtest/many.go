package ringtest

import (
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

var manyCases = []testCase{
	{"8,000 sockets", many},
}

// many connects the loop to itself, 4,000 times, and has every connection echo a message. Where the limit of
// descriptors is low it takes as many as that allows.
func many(r *rig) {
	pairs := 4000
	if soft, err := sock.RaiseFileLimit(); err == nil {
		pairs = min(pairs, int(soft-200)/2)
	}
	l := r.listen("127.0.0.1", nil)
	a := l.Addr()
	var (
		accepted, connected, echoed, ended int
		done                               = make(chan struct{})
		clients                            []ring.Sock
		start                              func()
	)
	msg := []byte("one of many")
	finish := func(*ring.Completion) {
		if ended++; ended == 2*pairs {
			close(done)
		}
	}
	at := r.hooked(func(co *ring.Completion) {
		if !co.More {
			return
		}
		accepted++
		s := co.Sock
		r.l.Recv(s, r.hooked(func(co *ring.Completion) {
			if !co.More {
				r.l.Close(s, r.hooked(finish))
				return
			}
			r.l.Send(s, co.Buf, 0, co.N, r.hooked(func(co *ring.Completion) { r.l.Release(co.Buf) }))
		}))
	})
	talk := func(s ring.Sock) {
		r.l.Recv(s, r.hooked(func(co *ring.Completion) {
			if !co.More {
				return
			}
			if string(r.l.Bytes(co.Buf)[:co.N]) != string(msg) {
				r.t.Errorf("received %q", r.l.Bytes(co.Buf)[:co.N])
			}
			r.l.Release(co.Buf)
			if echoed++; echoed == pairs { // all are open at this moment
				if st := r.l.Stats(); st.Socks != 2*pairs+1 {
					r.t.Errorf("%d sockets, want %d", st.Socks, 2*pairs+1)
				}
				for _, s := range clients {
					r.l.Close(s, r.hooked(finish))
				}
			}
		}))
		b := r.l.Alloc()
		r.l.Send(s, b, 0, copy(r.l.Bytes(b), msg), r.hooked(func(co *ring.Completion) { r.l.Release(co.Buf) }))
	}
	start = func() {
		if connected == pairs {
			for _, s := range clients {
				talk(s)
			}
			return
		}
		connected++
		s, err := r.l.Connect(&a, nil, r.hooked(func(co *ring.Completion) {
			if co.Err != 0 {
				r.t.Errorf("connect %d: %v", connected, co.Err)
			}
			start()
		}))
		if err != nil {
			r.t.Errorf("connect %d: %v", connected, err)
			return
		}
		clients = append(clients, s)
	}
	r.do(func() {
		ls, err := r.l.Attach(l)
		if err != nil {
			r.t.Error(err)
			return
		}
		r.l.Accept(ls, at)
		start()
	})
	r.await(done, "all connections")
	r.do(func() {
		if accepted != pairs || echoed != pairs {
			r.t.Errorf("%d accepted, %d echoed, want %d", accepted, echoed, pairs)
		}
		if st := r.l.Stats(); st.Socks != 1 || st.Bufs != 0 || st.Pending != 1 {
			r.t.Errorf("left over: %+v", st)
		}
	})
}
