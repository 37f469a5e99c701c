package ring

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
