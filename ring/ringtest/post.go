package ringtest

import (
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/ring"
)

var postCases = []testCase{
	{"from many goroutines, in order", postMany},
	{"from the loop", postNested},
	{"after what is ready", postAfter},
	{"after stop", postStopped},
}

func postMany(r *rig) {
	const senders, each = 16, 500
	var wg sync.WaitGroup
	next := make([]int, senders)
	for g := range senders {
		wg.Go(func() {
			for i := range each {
				r.l.Post(func() {
					if next[g] != i {
						r.t.Errorf("sender %d: post %d, want %d", g, i, next[g])
					}
					next[g]++
				})
			}
		})
	}
	wg.Wait()
	r.do(func() {
		for g, n := range next {
			if n != each {
				r.t.Errorf("sender %d: %d posts", g, n)
			}
		}
	})
}

func postNested(r *rig) {
	done := make(chan struct{})
	n := 0
	var f func()
	f = func() {
		if n++; n == 100 {
			close(done)
			return
		}
		r.l.Post(f)
	}
	r.l.Post(f)
	r.await(done, "the last post")
}

// postAfter checks that what was ready before a post completes before it runs.
func postAfter(r *rig) {
	if !r.l.HasFD() {
		r.t.Log("not promised: package net does not tell what is ready in the kernel, only what a goroutine has met")
		return
	}
	l := r.listen("127.0.0.1", nil)
	at := r.accept(r.attach(l))
	const n = 100
	var peers []interface{ Write([]byte) (int, error) }
	var socks []ring.Sock
	for range n {
		peers = append(peers, r.dial(l))
		socks = append(socks, r.expect(at).Sock)
	}
	got := 0
	for _, s := range socks {
		t := r.hooked(func(co *ring.Completion) {
			if co.Buf != 0 {
				r.l.Release(co.Buf)
				got++
			}
		})
		r.do(func() { r.l.Recv(s, t) })
	}
	block, blocked := make(chan struct{}), make(chan struct{})
	r.l.Post(func() { close(blocked); <-block })
	<-blocked
	for _, p := range peers {
		p.Write([]byte("ready"))
	}
	seen := -1
	r.l.Post(func() { seen = got })
	close(block)
	r.do(func() {
		if seen != n {
			r.t.Errorf("%d of %d completions before the post", seen, n)
		}
	})
}

func postStopped(r *rig) {
	r.stop()
	if r.l.Post(func() { r.t.Error("a post ran") }) {
		r.t.Error("Post accepted by a stopped loop")
	}
	r.l.Stop()
}

// testStop checks the ends of a loop. That nothing is left over is checked by the rig.
func testStop(t *testing.T, open func(testing.TB) ring.Loop) {
	t.Run("before run", func(t *testing.T) {
		l := open(t)
		l.Stop()
		if err := l.Run(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := l.Run(); err == nil {
			t.Error("a second Run, and no error")
		}
	})
	t.Run("posts are run", func(t *testing.T) {
		l := open(t)
		ran := false
		l.Post(func() { ran = true })
		l.Stop()
		if err := l.Run(); err != nil || !ran {
			t.Errorf("Run: %v, the post ran: %v", err, ran)
		}
	})
	t.Run("with everything in flight", func(t *testing.T) {
		r := newRig(t, open)
		s, _ := r.pair()
		r.fill(s)
		r.recv(s)
		s2, _ := r.pair()
		r.recv(s2)
		r.hanging()
		l := r.listen("127.0.0.1", nil)
		r.accept(r.attach(l))
		r.dial(l)
		late := r.hooked(func(co *ring.Completion) { t.Errorf("completion %+v", *co) })
		r.do(func() { r.l.After(time.Hour, late) })
		r.stop()
	})
	t.Run("from a handler", func(t *testing.T) {
		r := newRig(t, open)
		s, c := r.pair()
		rt := r.hooked(func(co *ring.Completion) { r.l.Stop() })
		r.do(func() { r.l.Recv(s, rt) })
		c.Write([]byte("x"))
		r.await(closed(r.done), "Run")
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the socket is still open")
		}
	})
}

// closed is a channel that is closed when Run has returned.
func closed(done chan error) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		done <- <-done
		close(ch)
	}()
	return ch
}
