package load

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// TestAnswerDatagrams has the backend answer as long as it was asked to, and pass over what is not a request.
func TestAnswerDatagrams(t *testing.T) {
	b := &backend{zeros: make([]byte, chunkBytes)}
	if err := b.listenDatagrams(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	defer b.datagrams.Close()
	a := b.datagrams.Addr()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.AddrPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for _, reply := range []int{1, 64, 1400, sock.MaxDatagram - 100} {
		g := Group{Kind: Ask, Request: 64, Reply: reply}
		c.Write([]byte("short"))
		c.Write(g.request())
		b.answerDatagrams()
		got := make([]byte, sock.MaxDatagram)
		if n, err := c.Read(got); n != reply || err != nil {
			t.Errorf("answer of %d bytes, %v; want %d", n, err, reply)
		}
	}
}

// runClient runs the only group of a Spec against a backend, for length, and returns what it did.
func runClient(t *testing.T, g Group, length time.Duration) GroupResult {
	t.Helper()
	b := &backend{zeros: make([]byte, chunkBytes)}
	if err := b.listenDatagrams(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	defer b.datagrams.Close()
	var err error
	if b.poll, err = newPoller(); err != nil {
		t.Fatal(err)
	}
	defer b.poll.close()
	if err := b.poll.add(int32(b.datagrams.FD()), readable); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	addr := b.datagrams.Addr()
	c := &client{spec: &Spec{Groups: []Group{g}, Measure: length}, out: bufio.NewWriter(&out), buf: make([]byte, chunkBytes), zero: time.Now(),
		target: syscall.SockaddrInet4{Port: int(addr.AddrPort.Port()), Addr: [4]byte{127, 0, 0, 1}}}
	c.groups = []*group{newGroup(&c.spec.Groups[0])}
	c.unopened = c.groups[0].unopened
	if c.poll, err = newPoller(); err != nil {
		t.Fatal(err)
	}
	defer c.poll.close()
	defer func() {
		for fd := range c.conns {
			if c.conns[fd].state != closed {
				closeFD(int32(fd))
			}
		}
	}()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if events, _ := b.poll.wait(10 * time.Millisecond); len(events) > 0 {
				b.answerDatagrams()
			}
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	for c.phase != running {
		if err := errors.Join(c.advance(), turn(c)); err != nil {
			t.Fatal(err)
		}
	}
	c.groups[0].reset()
	if err := c.startFlood(); err != nil {
		t.Fatal(err)
	}
	c.phase, c.began = counting, c.now()
	for err = nil; err == nil; {
		err = errors.Join(c.advance(), turn(c))
	}
	if !errors.Is(err, errFinished) {
		t.Fatal(err)
	}
	return c.groups[0].result()
}

// turn lets c handle what there is.
func turn(c *client) error {
	events, err := c.poll.wait(c.patience())
	for i := range events {
		err = errors.Join(err, c.handle(events[i].Fd, events[i].Events))
	}
	return err
}

func TestAskSeveral(t *testing.T) {
	r := runClient(t, Group{Kind: Ask, Conns: 2, Depth: 16, Request: 64, Reply: 100}, 50*time.Millisecond)
	if r.Done < 32 || r.Bytes != 100*r.Done || r.Errors != 0 || r.P50 <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestAskOnce(t *testing.T) {
	r := runClient(t, Group{Kind: AskOnce, Conns: 4, Request: 64, Reply: 64}, 50*time.Millisecond)
	if r.Done < 10 || r.Errors != 0 || r.P50 <= 0 {
		t.Errorf("%+v", r)
	}
}

// TestFlood: what is sent either arrives or is counted as lost.
func TestFlood(t *testing.T) {
	for _, train := range []int{1, 40} {
		r := runClient(t, Group{Kind: Flood, Conns: 1, Request: 1000, Train: train}, 50*time.Millisecond)
		if r.Done == 0 || r.Bytes != 1000*r.Done || (r.Done+r.Errors)%uint64(train) != 0 {
			t.Errorf("trains of %d: %+v", train, r)
		}
	}
}

// TestFreshSocket: no two have one address and port.
func TestFreshSocket(t *testing.T) {
	c := &client{fresh: 64_500}
	seen := map[netip.AddrPort]bool{}
	for range 200 {
		fd, err := c.freshSocket()
		if err != nil {
			t.Fatal(err)
		}
		at, err := syscall.Getsockname(int(fd))
		closeFD(fd)
		if err != nil {
			t.Fatal(err)
		}
		sa := at.(*syscall.SockaddrInet4)
		a := netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		if seen[a] || !a.Addr().IsLoopback() {
			t.Errorf("%v again, or no loopback", a)
		}
		seen[a] = true
	}
}

// TestAgainSeveral: a request without an answer is counted, and another made in its place, which alone may be answered.
func TestAgainSeveral(t *testing.T) {
	sv, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sv.Close()
	sv.SetDeadline(time.Now().Add(10 * time.Second))
	c := &client{zero: time.Now(), phase: running, buf: make([]byte, chunkBytes)}
	if c.poll, err = newPoller(); err != nil {
		t.Fatal(err)
	}
	defer c.poll.close()
	c.target.Port, c.target.Addr = sv.LocalAddr().(*net.UDPAddr).Port, [4]byte{127, 0, 0, 1}
	g := newGroup(&Group{Kind: Ask, Conns: 1, Depth: 2, Request: 64, Reply: 64})
	if err := c.connect(g, 0); err != nil {
		t.Fatal(err)
	}
	fd := int32(len(c.conns) - 1)
	defer closeFD(fd)
	k := &c.conns[fd]
	if err := c.begin(g, fd, 0); err != nil {
		t.Fatal(err)
	}
	c.againSeveral(fd, k, c.now())
	c.againSeveral(fd, k, c.now()+askPatience)
	if g.errors != 2 {
		t.Errorf("%d lost, want 2", g.errors)
	}
	for i := range 4 { // the answers to all
		b := make([]byte, 100)
		n, from, err := sv.ReadFromUDP(b)
		if err != nil {
			t.Fatal(err)
		}
		sv.WriteToUDP(b[:n], from)
		if err := c.handle(fd, readable); err != nil {
			t.Fatal(err)
		}
		if want := uint64(max(i-1, 0)); g.done != want {
			t.Errorf("%d answers count after %d, want %d", g.done, i+1, want)
		}
	}
}

// TestAskAgain: what has no answer in time is counted and sent once more.
func TestAskAgain(t *testing.T) {
	sv, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sv.Close()
	c := &client{zero: time.Now(), phase: running, buf: make([]byte, chunkBytes)}
	if c.poll, err = newPoller(); err != nil {
		t.Fatal(err)
	}
	defer c.poll.close()
	c.target.Port, c.target.Addr = sv.LocalAddr().(*net.UDPAddr).Port, [4]byte{127, 0, 0, 1}
	g := newGroup(&Group{Kind: Ask, Conns: 1, Request: 64, Reply: 64})
	if err := c.connect(g, 0); err != nil {
		t.Fatal(err)
	}
	fd := int32(len(c.conns) - 1)
	defer closeFD(fd)
	if err := c.handle(fd, writable); err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Duration{askEvery, askPatience - 1, askPatience + askEvery} {
		if err := c.askAgain(now); err != nil {
			t.Fatal(err)
		}
	}
	if g.errors != 1 {
		t.Errorf("%d lost, want 1", g.errors)
	}
	sv.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range 2 {
		if n, err := sv.Read(make([]byte, 100)); n != 64 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}
