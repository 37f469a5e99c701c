package splice

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

const pipeTestBuf = 4 << 10

// wired drives a relay between two real pairs of sockets. The test is the engine: it moves the bytes of Recv and Send
// itself, when it likes; those of strategy pipe are moved by the relay.
type wired struct {
	t    ringtest.TB
	f    *ringtest.Fake
	o    *owner
	peer [2]int // the far ends: peer[Up] is the client, the source of flow Up
	fd   [2]int // the ends of the relay; -1: closed
	sent map[ring.Buf]int
	in   [2][]byte // written by the source of that direction
	out  [2][]byte // read by its destination
	shut [2]bool   // the source has ended
	gone [2]bool   // peer is closed
}

func newWired(t ringtest.TB, maxPipes int) *wired {
	w := &wired{t: t, f: ringtest.NewFake(t, pipeTestBuf), sent: map[ring.Buf]int{}}
	w.f.Descriptors = true
	w.o = opened(w.f, NewPump(w.f, maxPipes))
	for d := range Dir(2) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatalf("socketpair: %v", err)
		}
		w.fd[d], w.peer[d] = p[0], p[1]
		w.f.SetFD(w.o.source(d), p[0])
	}
	return w
}

// free closes what is left; the pump must not hold a pipe by now.
func (w *wired) free() {
	w.t.Helper()
	if open, used := w.o.pump.Pipes(); used != 0 || open > keepPipes {
		w.t.Errorf("%d pipes, %d of them in use", open, used)
	}
	if n := w.o.pump.nodesOut(); n != 0 {
		w.t.Errorf("%d nodes left", n)
	}
	w.o.pump.Close()
	for d := range Dir(2) {
		if !w.gone[d] {
			unix.Close(w.peer[d])
		}
		unix.Close(w.fd[d])
	}
	w.f.Balanced(1)
}

// write has the source of d send n bytes, or as many as there is room for.
func (w *wired) write(d Dir, n int) int {
	if w.gone[d] || w.shut[d] {
		return 0
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((len(w.in[d]) + i) * 7 >> 3)
	}
	n, _ = unix.Write(w.peer[d], b)
	n = max(n, 0)
	w.in[d] = append(w.in[d], b[:n]...)
	return n
}

// read has the destination of d read at most n bytes.
func (w *wired) read(d Dir, n int) int {
	if w.gone[1-d] {
		return 0
	}
	b := make([]byte, n)
	n, _ = unix.Read(w.peer[1-d], b)
	n = max(n, 0)
	w.out[d] = append(w.out[d], b[:n]...)
	return n
}

// eof has the source of d end its stream.
func (w *wired) eof(d Dir) {
	if !w.gone[d] {
		unix.Shutdown(w.peer[d], unix.SHUT_WR)
		w.shut[d] = true
	}
}

// drop has the source of d vanish, with a reset if it has unread bytes.
func (w *wired) drop(d Dir) {
	if !w.gone[d] {
		unix.Close(w.peer[d])
		w.gone[d], w.shut[d] = true, true
	}
}

// engine takes one operation on, if the kernel lets it, as an engine does, and reports whether it did anything.
func (w *wired) engine(p ringtest.Pending, most int) bool {
	fd := w.fd[Up]
	if p.Sock == w.o.up {
		fd = w.fd[Down]
	}
	var errno syscall.Errno
	switch {
	case p.Op == ring.OpClose:
	case p.Op == ring.OpSend && p.Cancelled: // by Close; the owner no longer counts
		w.f.Complete(p.Sock, p.Op, syscall.ECANCELED, 0)
		return true
	case p.Cancelled:
	case p.Op == ring.OpReadable:
		if !poll(fd, unix.POLLIN) {
			return false
		}
	case p.Op == ring.OpWritable:
		if !poll(fd, unix.POLLOUT) {
			return false
		}
	case p.Op == ring.OpRecv:
		b := make([]byte, pipeTestBuf)
		n, err := unix.Read(fd, b[:min(max(most, 1), pipeTestBuf)])
		switch {
		case err == unix.EAGAIN:
			return false
		case errors.As(err, &errno):
			w.f.Complete(p.Sock, p.Op, errno, 0)
		case n == 0:
			w.f.Complete(p.Sock, p.Op, 0, 0)
		default:
			w.f.Data(p.Sock, b[:n])
		}
		return true
	case p.Op == ring.OpSend:
		at := w.sent[p.Buf]
		n, err := unix.Write(fd, w.f.Bytes(p.Buf)[p.Off+at:p.Off+min(p.N, at+max(most, 1))])
		switch {
		case err == unix.EAGAIN:
			return false
		case errors.As(err, &errno):
			delete(w.sent, p.Buf)
			w.f.Complete(p.Sock, p.Op, errno, at)
		case at+n == p.N:
			delete(w.sent, p.Buf)
			w.f.Complete(p.Sock, p.Op, 0, p.N)
		default:
			w.sent[p.Buf] = at + n
		}
		return true
	}
	w.f.Finish(p.Sock, p.Op)
	return true
}

// flush hands on to the real sockets what the relay has told the fake ones.
func (w *wired) flush() {
	for _, d := range []Dir{Up, Down} {
		s := w.o.source(d)
		for _, o := range w.f.Opened() {
			if o == s && w.f.IsShutdown(s) {
				unix.Shutdown(w.fd[d], unix.SHUT_WR)
			}
		}
	}
}

func poll(fd int, events int16) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// turn takes every operation on once.
func (w *wired) turn() (progress bool) {
	for _, p := range w.f.Ready() {
		if w.f.IsPending(p.Sock, p.Op) && w.engine(p, pipeTestBuf) {
			progress = true
		}
	}
	w.flush()
	return progress
}

// run turns until nothing moves any more; with drain the peers read all there is.
func (w *wired) run(drain bool) {
	for w.turn() || drain && w.read(Up, 1<<20)+w.read(Down, 1<<20) > 0 {
	}
}

func (w *wired) piping(d Dir) bool { return w.o.relay.flow[d].has(piping) }

// check compares what the destinations have with what the sources sent.
func (w *wired) check() {
	w.t.Helper()
	for d := range Dir(2) {
		if !bytes.HasPrefix(w.in[d], w.out[d]) {
			w.t.Fatalf("direction %d: the %d bytes that arrived differ", d, len(w.out[d]))
		}
	}
}

// finish ends both sides in order and wants everything delivered.
func (w *wired) finish() {
	w.t.Helper()
	w.eof(Up)
	w.eof(Down)
	w.run(true)
	w.check()
	for d := range Dir(2) {
		if len(w.out[d]) != len(w.in[d]) {
			w.t.Errorf("direction %d: %d of %d bytes arrived", d, len(w.out[d]), len(w.in[d]))
		}
		if got := w.o.relay.Bytes(d); got != uint64(len(w.in[d])) {
			w.t.Errorf("direction %d: Bytes = %d, want %d", d, got, len(w.in[d]))
		}
	}
	if !w.o.done || w.o.open != 0 {
		w.t.Errorf("not done: %+v", w.o.relay)
	}
	w.free()
}

// bulk makes direction d turn to pipe.
func (w *wired) bulk(d Dir) {
	w.t.Helper()
	for range 8 {
		w.write(d, 64<<10)
		w.run(true)
	}
	if !w.piping(d) {
		w.t.Fatalf("still in copy: %+v", w.o.relay.flow[d])
	}
}

func TestPipeThereAndBack(t *testing.T) {
	for d := range Dir(2) {
		w := newWired(t, 1)
		w.o.start(0)
		w.write(d, 100)
		w.run(true)
		if w.piping(d) {
			t.Fatal("a message turned the flow to pipe")
		}
		w.bulk(d)
		if w.piping(1 - d) {
			t.Error("the other direction turned as well")
		}
		if open, used := w.o.pump.Pipes(); open != 1 || used != 0 {
			t.Errorf("drained: %d pipes, %d in use", open, used)
		}
		for i := range smallToBuf {
			if !w.piping(d) {
				t.Fatalf("back to copy after %d messages", i)
			}
			w.write(d, 100)
			w.run(true)
		}
		if w.piping(d) {
			t.Errorf("still piping after %d messages", smallToBuf)
		}
		w.write(d, 100)
		w.run(true)
		w.bulk(d) // and there once more
		w.finish()
	}
}

// TestPipeStalls has a reader that does not read: the flow holds one pipe and stops.
func TestPipeStalls(t *testing.T) {
	w := newWired(t, 1)
	w.o.start(0)
	w.bulk(Up)
	for w.write(Up, 1<<20) > 0 {
		w.run(false)
	}
	if open, used := w.o.pump.Pipes(); open != 1 || used != 1 {
		t.Errorf("%d pipes, %d in use; want one full one", open, used)
	}
	if n := w.o.relay.Pending(w.o.pump, Up); n == 0 || n > pipeBytes {
		t.Errorf("Pending = %d, want up to %d", n, pipeBytes)
	}
	if st := w.f.Stats(); st.Bufs != 0 {
		t.Errorf("%d buffers lent", st.Bufs)
	}
	w.finish()
}

// TestPipePool has the pool give nothing, or too little: the flows go on in copy.
func TestPipePool(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		w := newWired(t, 0)
		w.o.start(0)
		for range 20 {
			w.write(Up, 64<<10)
			w.run(true)
		}
		if open, _ := w.o.pump.Pipes(); open != 0 || w.piping(Up) {
			t.Errorf("%d pipes, piping %v", open, w.piping(Up))
		}
		w.finish()
	})
	t.Run("one for two", func(t *testing.T) {
		w := newWired(t, 1)
		w.o.start(0)
		w.bulk(Up)
		w.bulk(Down)                 // both want pipes, and none has bytes inside
		for w.write(Up, 1<<20) > 0 { // now Up keeps the only one
			w.run(false)
		}
		before := len(w.out[Down])
		for len(w.out[Down])-before < 1<<20 {
			if !w.turn() && w.write(Down, 64<<10)+w.read(Down, 1<<20) == 0 {
				t.Fatal("nothing comes down any more")
			}
		}
		if open, used := w.o.pump.Pipes(); open != 1 || used != 1 {
			t.Errorf("%d pipes, %d in use", open, used)
		}
		if w.piping(Down) {
			t.Error("Down pipes without a pipe")
		}
		w.finish()
	})
}

// TestPipeRefused has a server that ends its stream and then vanishes while a client sends to it through a pipe: the
// relay has to notice, or the client would wait for ever.
func TestPipeRefused(t *testing.T) {
	for d := range Dir(2) {
		w := newWired(t, 1)
		w.o.start(0)
		w.bulk(d)
		w.eof(1 - d)
		w.run(true)
		if w.o.done {
			t.Fatal("done after half a close")
		}
		w.drop(1 - d)
		w.write(d, 1<<20)
		w.run(false)
		if !w.o.done {
			t.Errorf("direction %d: not done: %+v", d, w.o.relay)
			w.o.close()
			w.run(false)
		}
		w.free()
	}
}

// TestPipeReset has the source vanish with bytes in the pipe: they are delivered.
func TestPipeReset(t *testing.T) {
	w := newWired(t, 1)
	w.o.start(0)
	w.bulk(Up)
	w.write(Down, 10)
	w.turn()
	for w.write(Up, 1<<20) > 0 {
		w.turn()
	}
	w.drop(Up) // with what came down unread: a reset
	w.run(true)
	w.check()
	if !w.o.done {
		t.Errorf("not done: %+v", w.o.relay)
	}
	if len(w.out[Up]) == 0 || len(w.out[Up]) < len(w.in[Up])-pipeBytes*2 {
		t.Errorf("%d of %d bytes arrived", len(w.out[Up]), len(w.in[Up]))
	}
	w.free()
}

// TestPipeAnyOrder mixes both strategies, in any order of events, with errors and closes.
func TestPipeAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWired(t, rapid.IntRange(0, 2).Draw(t, "pipes"))
		faulty := false
		dir := func() Dir { return Dir(rapid.IntRange(0, 1).Draw(t, "dir")) }
		w.o.start(Side(rapid.IntRange(0, 3).Draw(t, "fast")))
		fast := w.o.relay.fast
		t.Repeat(map[string]func(*rapid.T){
			"":      func(*rapid.T) { w.flush(); w.check() },
			"bulk":  func(t *rapid.T) { w.write(dir(), rapid.IntRange(pipeTestBuf, 100<<10).Draw(t, "n")) },
			"few":   func(t *rapid.T) { w.write(dir(), rapid.IntRange(1, 100).Draw(t, "n")) },
			"read":  func(t *rapid.T) { w.read(dir(), rapid.IntRange(1, 300<<10).Draw(t, "n")) },
			"turn":  func(*rapid.T) { w.turn() },
			"turns": func(*rapid.T) { w.turn(); w.turn(); w.turn() },
			"one": func(t *rapid.T) {
				if ready := w.f.Ready(); len(ready) > 0 {
					w.engine(rapid.SampledFrom(ready).Draw(t, "op"), rapid.IntRange(1, pipeTestBuf).Draw(t, "most"))
				}
			},
			"fault": func(t *rapid.T) {
				switch rapid.IntRange(0, 40).Draw(t, "which") {
				case 0:
					w.drop(dir())
					faulty = true
				case 1, 2:
					w.eof(dir())
				case 3:
					if !w.o.closing {
						w.o.close()
						faulty = true
					}
				}
			},
		})
		if !faulty && fast == 0 {
			w.finish()
			return
		}
		w.eof(Up)
		w.eof(Down)
		w.run(true)
		w.check()
		if !w.o.closing || w.o.open != 0 {
			t.Errorf("not over: %+v", w.o.relay)
		}
		w.free()
	})
}
