package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestChaos lets clients and servers misbehave at random, in every combination: resets, half-closes, slow readers,
// closes in the middle, connections closed by the operator, collections of garbage all the time. Whoever gets bytes
// checks that they are the ones that were sent, in order; where both sides are well-behaved, all of them. At the end
// nothing is left. PEN_SOAK=10m makes it run longer.
func TestChaos(t *testing.T) {
	onEachEngine(t, func(t *testing.T, engine string) {
		length := 2 * time.Second
		if s := os.Getenv("PEN_SOAK"); s != "" {
			var err error
			if length, err = time.ParseDuration(s); err != nil {
				t.Fatalf("PEN_SOAK=%q: %v", s, err)
			}
		}
		c := chaos{t: t}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var servers, clients sync.WaitGroup
		servers.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				servers.Go(func() { c.serve(conn.(*net.TCPConn)) })
			}
		})
		r := newChaosRig(t, engine, 2)
		r.server(0, ln.Addr())
		r.run()

		end := time.Now().Add(length)
		for i := range 64 {
			clients.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				for time.Now().Before(end) {
					c.client(r.addr(), rnd)
				}
			})
		}
		stop := make(chan struct{})
		var disturb sync.WaitGroup
		disturb.Go(func() {
			rnd := rand.New(rand.NewPCG(99, 1))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if time.Until(end) < length/2 { // until then, the polite must not fail
					c.cutting.Store(true)
					if r.proxy.CloseConn(rnd.IntN(200)) {
						c.cut.Add(1)
					}
				}
				if i%4 == 0 {
					r.proxy.Sync()
					runtime.GC()
				}
			}
		})
		clients.Wait()
		close(stop)
		disturb.Wait()
		r.waitIdle()
		ln.Close()
		servers.Wait()
		up, _ := r.proxy.Servers.Traffic(0)
		t.Logf("%d connections (%d complete), %d closed by hand, %d bytes to servers", c.conns.Load(), c.complete.Load(),
			c.cut.Load(), up)
		if c.complete.Load() == 0 || up == 0 {
			t.Error("no connection was complete: the test tests nothing")
		}
		if got := r.proxy.Servers.Conns(0); got != 0 {
			t.Errorf("%d places on the server still taken", got)
		}
		// Clients and servers are in this process as well, so this bounds what the loops suffer, from far above.
		t.Logf("longest stop for collecting garbage so far: %v", worstPause())
	})
}

// chaos is one run.
type chaos struct {
	t                    *testing.T
	conns, complete, cut atomic.Int64
	cutting              atomic.Bool // connections are closed by hand, or are about to be
}

// A plan is what a connection is for. The client sends it first.
type plan struct {
	Seed     uint64
	Up, Down uint32 // bytes each way
	Server   uint8  // manners of the server
}

const (
	polite  = iota
	resets  // in the middle
	leaves  // in the middle
	dawdles // reads slowly
	nManners
)

func (c *chaos) client(addr string, rnd *rand.Rand) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		c.t.Errorf("dial: %v", err)
		time.Sleep(100 * time.Millisecond)
		return
	}
	defer conn.Close()
	c.conns.Add(1)
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	size := func() uint32 { return uint32(rnd.Uint64() >> (44 + rnd.IntN(18))) } // up to 1 MB, most are short
	p := plan{Seed: rnd.Uint64(), Up: size(), Down: size(), Server: uint8(rnd.IntN(nManners))}
	if rnd.IntN(2) == 0 {
		p.Server = polite
	}
	mine := rnd.IntN(nManners)
	var head bytes.Buffer
	binary.Write(&head, binary.LittleEndian, p)
	conn.Write(head.Bytes())
	err = c.talk(conn.(*net.TCPConn), p.Seed, p.Up, p.Seed+1, p.Down, mine)
	switch {
	case err == nil:
		c.complete.Add(1)
	case mine == polite && p.Server == polite && !c.cutting.Load():
		c.t.Errorf("polite client and server, %+v: %v", p, err)
	}
}

func (c *chaos) serve(conn *net.TCPConn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	var p plan
	if binary.Read(conn, binary.LittleEndian, &p) != nil {
		return // the client left before it said what it wants
	}
	_ = c.talk(conn, p.Seed+1, p.Down, p.Seed, p.Up, int(p.Server))
}

// talk sends one stream and receives another at the same time, with the given manners. Wrong bytes fail the test;
// missing ones are an error.
func (c *chaos) talk(conn *net.TCPConn, out uint64, outLen uint32, in uint64, inLen uint32, manners int) error {
	sent := make(chan error, 1)
	go func() {
		sent <- c.send(conn, out, outLen, manners)
	}()
	err := c.receive(conn, in, inLen, manners)
	if err != nil {
		conn.SetLinger(0)
		conn.Close()
	}
	if serr := <-sent; err == nil {
		err = serr
	}
	return err
}

func stream(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

var errManners = fmt.Errorf("left on purpose")

func (c *chaos) send(conn *net.TCPConn, seed uint64, n uint32, manners int) error {
	src, buf := stream(seed), make([]byte, 1+int(seed%70_000))
	for left := int(n); left > 0; {
		b := buf[:min(left, len(buf))]
		src.Read(b)
		if _, err := conn.Write(b); err != nil {
			return err
		}
		left -= len(b)
		if left < int(n)/2 {
			switch manners {
			case resets:
				conn.SetLinger(0)
				conn.Close()
				return errManners
			case leaves:
				conn.Close()
				return errManners
			}
		}
	}
	return conn.CloseWrite()
}

func (c *chaos) receive(conn *net.TCPConn, seed uint64, n uint32, manners int) error {
	want, buf, ref := stream(seed), make([]byte, 32<<10), make([]byte, 32<<10)
	got := 0
	for {
		k, err := conn.Read(buf)
		want.Read(ref[:k])
		if !bytes.Equal(buf[:k], ref[:k]) {
			c.t.Errorf("wrong bytes after %d of %d", got, n)
			return errManners
		}
		got += k
		if manners == dawdles && k > 0 {
			time.Sleep(time.Millisecond)
		}
		switch {
		case errors.Is(err, io.EOF) && got == int(n):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("end of stream after %d of %d bytes", got, n)
		case err != nil:
			return err
		case got > int(n):
			c.t.Errorf("%d bytes too many", got-int(n))
			return errManners
		}
	}
}

// worstPause is the longest time that the collector has stopped everybody in this process.
func worstPause() time.Duration {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if h.Counts[i] > 0 {
			return time.Duration(h.Buckets[i] * float64(time.Second))
		}
	}
	return 0
}
