package ring

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

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

func TestURingEcho(t *testing.T) {
	var addr string
	u := newTestLoop(t, func(u *uringLoop) { _, addr = newEcho(t, u, 8) })
	var wg sync.WaitGroup
	for i := range 20 {
		c := dial(t, addr)
		wg.Go(func() {
			for _, n := range []int{1, 64, 16 << 10, 100_000 * (1 + i%3)} {
				if err := exchange(c, n); err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			c.Close()
		})
	}
	wg.Wait()
	eventually(t, u, "clean", func() bool { return u.Stats().Socks == 1 && u.Stats().Bufs == 0 && u.Stats().Pending == 1 })
}

// TestURingStalledReaders lets more readers stop than the kernel's ring has buffers: the others must not notice.
func TestURingStalledReaders(t *testing.T) {
	const stalled, limit = 80, 8
	var addr string
	var e *echo
	u := newTestLoop(t, func(u *uringLoop) { e, addr = newEcho(t, u, limit) })
	for range stalled {
		c := dial(t, addr)
		c.(*net.TCPConn).SetReadBuffer(4096)
		go func() { // until its peer stops receiving; the cleanup closes c
			b := make([]byte, 64<<10)
			for {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, u, "stalled", func() bool { return u.Stats().Bufs > ringBufs+50 })
	c := dial(t, addr)
	for range 50 {
		if err := exchange(c, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	if u.share == 0 {
		t.Skip("this kernel cannot limit a receive")
	}
	on(t, u, func() {
		for _, ec := range e.conns {
			if len(ec.bufs) > limit+recvShare {
				t.Errorf("a stalled reader holds %d buffers", len(ec.bufs))
			}
		}
	})
}

// TestURingStarvation holds every buffer there is and lets no more be mapped: receivers without one wait for a
// Release and then go on, without the caller noticing.
func TestURingStarvation(t *testing.T) {
	const hungry = 20
	var held []Buf
	got := 0
	l := listenLoopback(t)
	u := newTestLoop(t, func(u *uringLoop) {
		u.feed()
		u.lending.arena.mmap = func(int) ([]byte, error) { return nil, syscall.ENOMEM }
		u.lending.arena.spare = nil
		u.Handle(echoClass, handlerFunc(func(c *Completion) {
			switch {
			case c.Op == OpAccept && c.More:
				u.Recv(c.Sock, NewToken(echoClass, 0))
			case c.Op == OpRecv && c.More:
				held = append(held, c.Buf)
				got++
			case c.Op == OpRecv && c.Err != 0:
				t.Errorf("the caller notices: %+v", *c)
			}
		}))
		s, err := u.Attach(l)
		if err != nil {
			t.Fatal(err)
		}
		u.Accept(s, NewToken(echoClass, 0))
	})
	a := l.Addr()
	for range ringBufs + hungry {
		if _, err := dial(t, a.String()).Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, u, "starved", func() bool { return got == ringBufs && len(u.waiting) == hungry })
	on(t, u, func() {
		for _, b := range held {
			u.Release(b)
		}
		held = nil
	})
	eventually(t, u, "fed", func() bool { return got == ringBufs+hungry && len(u.waiting) == 0 })
}

func TestURingSteadyEchoAllocatesNothing(t *testing.T) {
	var addr string
	newTestLoop(t, func(u *uringLoop) { _, addr = newEcho(t, u, 8) })
	c := dial(t, addr)
	msg := make([]byte, 64)
	turn := func() {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
	}
	for range 2000 { // let queues and pools reach their size
		turn()
	}
	if n := testing.AllocsPerRun(2000, turn); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

func openFDs(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestURingLeavesNothing stops loops in the middle of everything.
func TestURingLeavesNothing(t *testing.T) {
	if err := uringAvailable(); err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	dial := func(addr string) net.Conn { // closed below, not by a cleanup
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	round := func() {
		var addr string
		var conns []net.Conn
		t.Run("round", func(t *testing.T) {
			u := newTestLoop(t, func(u *uringLoop) { _, addr = newEcho(t, u, 4) })
			for i := range 30 {
				c := dial(addr)
				conns = append(conns, c)
				if i%2 == 0 {
					c.SetDeadline(time.Now().Add(50 * time.Millisecond))
					c.Write(make([]byte, 1<<20)) // nobody reads the echo: sends and receives are pending
				}
			}
			eventually(t, u, "connected", func() bool { return u.Stats().Socks == 31 })
		})
		for _, c := range conns {
			c.Close()
		}
	}
	round()
	before := openFDs(t)
	for range 3 {
		round()
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestURingManyOrders queues more than the submission queue holds, before Run and from within.
func TestURingManyOrders(t *testing.T) {
	const n = uringSQEntries + 500
	var ends []int
	var got int
	h := handlerFunc(func(c *Completion) {
		if c.Op == OpReadable && c.Err == 0 {
			got++
		}
	})
	u := newTestLoop(t, func(u *uringLoop) {
		u.Handle(2, h)
		for i := range n {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, pair[1])
			u.Readable(u.open(pair[0], false).name, NewToken(2, uint64(i)))
		}
	})
	defer func() {
		for _, fd := range ends {
			unix.Close(fd)
		}
	}()
	for _, fd := range ends {
		unix.Write(fd, []byte{1})
	}
	eventually(t, u, "all readable", func() bool { return got == n })
}

type handlerFunc func(*Completion)

func (f handlerFunc) Complete(c *Completion) { f(c) }

// TestURingFailsHalfway lets the kernel refuse the loop's own ring, after the probe: nothing may stay open.
func TestURingFailsHalfway(t *testing.T) {
	if err := uringAvailable(); err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	real := theKernel()
	for name, fail := range map[string]func(*kernelCalls){
		"setup": func(k *kernelCalls) {
			k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
				if n == uringSQEntries {
					return -1, syscall.ENOMEM
				}
				return real.setup(n, p)
			}
		},
		"features": func(k *kernelCalls) {
			k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
				fd, errno := real.setup(n, p)
				if n == uringSQEntries {
					p.features = 0
				}
				return fd, errno
			}
		},
		"buffer ring": func(k *kernelCalls) { refuseRegister(k, ioringRegisterPbufRing, 2) },
		"restrict":    func(k *kernelCalls) { refuseRegister(k, ioringRegisterRestrictions, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			k := theKernel()
			fail(&k)
			before := openFDs(t)
			if _, err := openURingLoop(k, Options{}); err == nil {
				t.Error("opened")
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// refuseRegister lets the nth call of op fail.
func refuseRegister(k *kernelCalls, op uintptr, nth int) {
	register := k.register
	k.register = func(fd int, got uintptr, arg unsafe.Pointer, n int) (int, syscall.Errno) {
		if got == op {
			if nth--; nth == 0 {
				return -1, syscall.EINVAL
			}
		}
		return register(fd, got, arg, n)
	}
}

func TestURingProbeReasons(t *testing.T) {
	refuse := func(flag uint32, e syscall.Errno) kernelCalls {
		k := theKernel()
		setup := k.setup
		k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
			if flag == 0 || p.flags&flag != 0 {
				return -1, e
			}
			return setup(n, p)
		}
		return k
	}
	for _, tt := range []struct {
		name string
		k    kernelCalls
		want error
		text string
	}{
		{"before 6.1", refuse(ioringSetupDeferTaskrun, syscall.EINVAL), errTooOld, "kernel too old"},
		{"before 5.1", refuse(0, syscall.ENOSYS), syscall.ENOSYS, "not in this kernel"},
		{"container", refuse(0, syscall.EPERM), syscall.EPERM, ""},
		{"memlock", refuse(0, syscall.ENOMEM), syscall.ENOMEM, "locked memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := openURingLoop(tt.k, Options{})
			if !errors.Is(err, tt.want) || !bytes.Contains([]byte(err.Error()), []byte(tt.text)) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
	t.Run("before 6.6", func(t *testing.T) {
		can, err := probeURing(refuse(ioringSetupNoSQArray, syscall.EINVAL))
		if err != nil {
			t.Skipf("no io_uring here: %v", err)
		}
		if can.noArray {
			t.Error("claims NO_SQARRAY")
		}
	})
}
