package ring_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// chaos does whatever the contract allows to every socket it gets, at random, and keeps the books of it: an operation
// ends once, nothing comes after Close, every buffer comes back.
type chaos struct {
	t       testing.TB
	l       ring.Loop
	rng     *rand.Rand
	up      sock.Addr // somebody who answers
	socks   map[ring.Sock]*chaosSock
	list    []ring.Sock // of socks, in the order of opening, some gone: to choose from
	ending  bool
	counted map[ring.Op]int
}

type chaosSock struct {
	pending [ring.OpTimer + 1]bool
	held    []ring.Buf
	closed  bool
}

func chaosToken(v uint64) ring.Token { return ring.NewToken(1, v) }

func (c *chaos) add(s ring.Sock) *chaosSock {
	if c.socks[s] != nil {
		c.t.Errorf("socket %#x is new and open already", s)
	}
	c.socks[s] = &chaosSock{}
	c.list = append(c.list, s)
	return c.socks[s]
}

func (c *chaos) Complete(d *ring.Completion) {
	c.counted[d.Op]++
	switch d.Op {
	case ring.OpTimer:
		c.meddle()
		return
	case ring.OpAccept:
		if d.More {
			c.add(d.Sock)
			c.act(d.Sock)
		}
		return
	}
	s := c.socks[d.Sock]
	if s == nil || !s.pending[d.Op] {
		c.t.Errorf("completion of nothing that is pending: %+v", *d)
		return
	}
	s.pending[d.Op] = d.More
	if (d.Buf != 0) != (d.Op == ring.OpSend || d.Op == ring.OpRecv && d.More) {
		c.t.Errorf("buffer or none: %+v", *d)
	}
	if d.Buf != 0 {
		s.held = append(s.held, d.Buf)
	}
	if d.Op == ring.OpClose {
		for _, p := range s.pending {
			if p {
				c.t.Errorf("closed with something pending: %v", s.pending)
			}
		}
		for _, b := range s.held {
			c.l.Release(b)
		}
		delete(c.socks, d.Sock)
		return
	}
	if len(s.held) > 6 {
		c.l.Release(s.held[0])
		s.held = s.held[1:]
	}
	for range c.rng.IntN(3) {
		c.act(d.Sock)
	}
}

// meddle acts on sockets to which nothing happens, opens new ones, and comes again.
func (c *chaos) meddle() {
	if c.ending {
		return
	}
	c.l.After(time.Duration(c.rng.IntN(3))*time.Millisecond, chaosToken(0))
	for range 20 {
		if len(c.list) == 0 {
			break
		}
		i := c.rng.IntN(len(c.list))
		if s := c.list[i]; c.socks[s] != nil {
			c.act(s)
			continue
		}
		c.list[i] = c.list[len(c.list)-1]
		c.list = c.list[:len(c.list)-1]
	}
	if len(c.socks) < 60 {
		s, err := c.l.Connect(&c.up, nil, chaosToken(0))
		if err != nil {
			c.t.Errorf("connect: %v", err)
			return
		}
		c.add(s).pending[ring.OpConnect] = true
		if c.rng.IntN(3) == 0 {
			c.act(s)
		}
	}
}

// act does one thing that is allowed.
func (c *chaos) act(name ring.Sock) {
	s := c.socks[name]
	if s == nil || s.closed {
		return
	}
	reading := s.pending[ring.OpRecv] || s.pending[ring.OpReadable]
	writing := s.pending[ring.OpSend] || s.pending[ring.OpWritable] || s.pending[ring.OpConnect]
	switch n := c.rng.IntN(100); {
	case c.ending || n < 2:
		if n%2 == 0 {
			c.l.Abort(name)
		}
		s.closed, s.pending[ring.OpClose] = true, true
		c.l.Close(name, chaosToken(0))
	case n < 3:
		c.l.Shutdown(name)
	case n < 30 && !reading:
		s.pending[ring.OpRecv] = true
		c.l.Recv(name, chaosToken(0))
	case n < 35 && !reading:
		s.pending[ring.OpReadable] = true
		c.l.Readable(name, chaosToken(0))
	case n < 45:
		c.l.Cancel(name, [...]ring.Op{ring.OpRecv, ring.OpReadable, ring.OpWritable, ring.OpConnect}[c.rng.IntN(4)])
	case n < 80 && !writing:
		b := c.l.Alloc()
		if len(s.held) > 0 {
			c.l.Release(b)
			b, s.held = s.held[0], s.held[1:]
		}
		size := 1 + c.rng.IntN(c.l.BufSize())
		off := c.rng.IntN(c.l.BufSize() - size + 1)
		s.pending[ring.OpSend] = true
		c.l.Send(name, b, off, size, chaosToken(0))
	case n < 85 && !writing:
		s.pending[ring.OpWritable] = true
		c.l.Writable(name, chaosToken(0))
	}
}

// chaosPeer talks to addr until stop: it writes and reads some, and leaves politely or not.
func chaosPeer(conn net.Conn, rng *rand.Rand) {
	defer conn.Close()
	b := make([]byte, 40_000)
	for range rng.IntN(20) {
		conn.SetDeadline(time.Now().Add(time.Duration(1+rng.IntN(10)) * time.Millisecond))
		if rng.IntN(2) == 0 {
			conn.Write(b[:rng.IntN(len(b))])
		} else {
			conn.Read(b)
		}
	}
	if tc, ok := conn.(*net.TCPConn); ok && rng.IntN(3) == 0 {
		tc.SetLinger(0)
	}
}

func TestChaos(t *testing.T) {
	for _, a := range ring.Probe() {
		if a.Name == "portable" {
			continue // it has no Readable and Writable
		}
		t.Run(a.Name, func(t *testing.T) {
			if !a.OK {
				t.Skip(a.Reason)
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			runChaos(t, a.Name, seed)
		})
	}
}

func runChaos(t *testing.T, engine string, seed uint64) {
	l, err := ring.Open(engine, ring.Options{BufSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	loopback := sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}
	ln, err := sock.Listen(&loopback, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upAddr := sock.Addr{AddrPort: up.Addr().(*net.TCPAddr).AddrPort()}
	c := &chaos{t: t, l: l, rng: rand.New(rand.NewPCG(seed, 0)), up: upAddr,
		socks: map[ring.Sock]*chaosSock{}, counted: map[ring.Op]int{}}
	l.Handle(1, c)
	ls, err := l.Attach(ln)
	if err != nil {
		t.Fatal(err)
	}
	l.Accept(ls, chaosToken(0))
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	l.Post(c.meddle)

	var wg sync.WaitGroup
	end := time.Now().Add(1500 * time.Millisecond)
	for i := range uint64(16) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1+i))
			for time.Now().Before(end) {
				conn, err := net.Dial("tcp", fmt.Sprint(ln.Addr().AddrPort))
				if err == nil {
					chaosPeer(conn, rng)
				}
			}
		})
	}
	wg.Go(func() { // answers what the loop connects
		var peers sync.WaitGroup
		defer peers.Wait()
		for i := uint64(100); ; i++ {
			conn, err := up.Accept()
			if err != nil {
				return
			}
			peers.Go(func() { chaosPeer(conn, rand.New(rand.NewPCG(seed, i))) })
		}
	})
	for time.Now().Before(end) {
		runtime.GC() // nothing of ours may move or go
	}
	ended := make(chan struct{})
	l.Post(func() {
		c.ending = true
		for s := range c.socks {
			c.act(s)
		}
		close(ended)
	})
	<-ended
	up.Close()
	wg.Wait()
	awaitBalance(t, c, 1)
	l.Stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	t.Logf("completions: %v", c.counted)
}

// awaitBalance closes what comes late, until but for the listener nothing is left.
func awaitBalance(t *testing.T, c *chaos, socks int) {
	t.Helper()
	var st ring.Stats
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		settled := make(chan struct{})
		c.l.Post(func() {
			defer close(settled)
			for s := range c.socks {
				c.act(s)
			}
			st = c.l.Stats()
		})
		<-settled
		if st.Socks == socks && st.Bufs == 0 && st.Pending == 1 {
			return
		}
	}
	t.Errorf("left over: %+v", st)
}
