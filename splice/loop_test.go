package splice

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// relays is a loop that relays what connects to addr to a server.
type relays struct {
	t    testing.TB
	loop ring.Loop
	pump *Pump
	to   sock.Addr
	fast Side
	addr string

	mu     sync.Mutex
	owners []*owner // in order of arrival; belong to the loop once started
	begun  chan *owner
	ended  chan struct{}
}

// eachEngine runs a test on every engine that works here.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if !a.OK {
			t.Logf("not on %s: %s", a.Name, a.Reason)
			continue
		}
		t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
	}
}

// serve starts a loop that relays to to. At the end of the test everything must have been given back.
func serve(t testing.TB, engine string, maxPipes int, fast Side, to netip.AddrPort) *relays {
	t.Helper()
	l, err := ring.Open(engine, ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &relays{t: t, loop: l, pump: NewPump(l, maxPipes), to: sock.Addr{AddrPort: to}, fast: fast,
		begun: make(chan *owner, 64), ended: make(chan struct{}, 64)}
	ln, err := sock.Listen(&sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, &sock.ListenOptions{NoDelay: true})
	if err != nil {
		t.Fatal(err)
	}
	a := ln.Addr()
	r.addr = a.String()
	l.Handle(classAccept, completions(r.accepted))
	l.Handle(classOwner, completions(func(c *ring.Completion) { r.owner(int(c.Token.Value())).Complete(c) }))
	l.Handle(classConnect, completions(func(c *ring.Completion) {
		o := r.owner(int(c.Token.Value()))
		if c.Err != 0 {
			t.Errorf("connect: %v", c.Err)
		}
		o.start(r.fast)
		r.begun <- o
	}))
	ls, err := l.Attach(ln)
	if err != nil {
		t.Fatal(err)
	}
	l.Accept(ls, ring.NewToken(classAccept, 0))
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		r.balanced()
		l.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.pump.Close()
		ln.Close()
	})
	return r
}

const classConnect ring.Class = 3

func (r *relays) owner(i int) *owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owners[i]
}

func (r *relays) accepted(c *ring.Completion) {
	if c.Sock == 0 {
		return
	}
	r.mu.Lock()
	i := uint64(len(r.owners))
	o := &owner{pump: r.pump, down: c.Sock, token: ring.NewToken(classOwner, i), ended: func() { r.ended <- struct{}{} }}
	r.owners = append(r.owners, o)
	r.mu.Unlock()
	var err error
	if o.up, err = r.loop.Connect(&r.to, &sock.Options{NoDelay: true}, ring.NewToken(classConnect, i)); err != nil {
		r.t.Errorf("connect: %v", err)
	}
}

// do runs f on the loop.
func (r *relays) do(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	if !r.loop.Post(func() { defer close(done); f() }) {
		r.t.Fatal("the loop has ended")
	}
	<-done
}

// balanced wants nothing but the listener to be left, once every relay that began has ended.
func (r *relays) balanced() {
	r.t.Helper()
	r.mu.Lock()
	n := len(r.owners)
	r.mu.Unlock()
	for range n {
		select {
		case <-r.ended:
		case <-time.After(patience):
			r.do(func() {
				for i, o := range r.owners {
					if o.open != 0 || !o.closing {
						r.t.Errorf("relay %d has not ended: %+v", i, o.relay)
					}
				}
			})
			return
		}
	}
	r.do(func() {
		if st := r.loop.Stats(); st.Socks != 1 || st.Bufs != 0 || st.Timers != 0 || st.Pending != 1 {
			r.t.Errorf("left over: %+v", st)
		}
		if _, used := r.pump.Pipes(); used != 0 {
			r.t.Errorf("%d pipes in use", used)
		}
		if n := r.pump.nodesOut(); n != 0 {
			r.t.Errorf("%d nodes left", n)
		}
	})
}

// dial connects a client and waits for its relay.
func (r *relays) dial() (*net.TCPConn, *owner) {
	r.t.Helper()
	c, err := net.Dial("tcp4", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	select {
	case o := <-r.begun:
		return c.(*net.TCPConn), o
	case <-time.After(patience):
		r.t.Fatal("the relay does not begin")
		return nil, nil
	}
}

// handOver is a server that hands its connections to the test, which closes them.
func handOver(conns chan<- *net.TCPConn) testnet.Behaviour {
	return func(ctx context.Context, c *net.TCPConn) {
		conns <- c
		<-ctx.Done()
	}
}

// pair is a client and a server with a relay between them.
func (r *relays) pair(conns <-chan *net.TCPConn) (client, server *net.TCPConn, o *owner) {
	r.t.Helper()
	client, o = r.dial()
	server = <-conns
	_ = server.SetDeadline(time.Now().Add(patience))
	return client, server, o
}

// noise is n bytes that do not repeat.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewPCG(seed, 2)
	for i := 0; i+8 <= n; i += 8 {
		v := src.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

// sum reads r to its end.
func sum(r io.Reader) ([sha256.Size]byte, error) {
	h := sha256.New()
	_, err := io.Copy(h, struct{ io.Reader }{r})
	return [sha256.Size]byte(h.Sum(nil)), err
}

// TestBothWays sends 4 MB each way at the same time, on several relays.
func TestBothWays(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		conns := make(chan *net.TCPConn, 8)
		r := serve(t, engine, 3, 0, testnet.Serve(t, testnet.Loopback(t), handOver(conns)))
		var wg sync.WaitGroup
		for i := range uint64(4) {
			client, server, o := r.pair(conns)
			up, down := noise(2*i, 4<<20), noise(2*i+1, 4<<20)
			send := func(c *net.TCPConn, b []byte) {
				if _, err := c.Write(b); err != nil {
					t.Errorf("write: %v", err)
				}
				_ = c.CloseWrite()
			}
			check := func(what string, c *net.TCPConn, want []byte) {
				if got, err := sum(c); err != nil || got != sha256.Sum256(want) {
					t.Errorf("%s differs: %v", what, err)
				}
			}
			wg.Go(func() { send(client, up) })
			wg.Go(func() { send(server, down) })
			wg.Go(func() { check("up", server, up) })
			wg.Go(func() { check("down", client, down) })
			t.Cleanup(func() {
				if o.relay.Bytes(Up) != 4<<20 || o.relay.Bytes(Down) != 4<<20 {
					t.Errorf("counted %d up, %d down", o.relay.Bytes(Up), o.relay.Bytes(Down))
				}
			})
		}
		wg.Wait()
		r.do(func() {
			open, _ := r.pump.Pipes()
			if piped := open > 0; piped != r.loop.HasFD() || open > 3 {
				t.Errorf("%d pipes for 32 MB", open)
			}
		})
	})
}

// TestStrategies has one relay carry messages, then bulk, then messages.
func TestStrategies(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := serve(t, engine, 2, 0, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		if !r.loop.HasFD() {
			return // no descriptors, so no pipes
		}
		client, o := r.dial()
		piping := func() (up bool) {
			r.do(func() { up = o.relay.flow[Up].has(piping) })
			return up
		}
		talk := func(n, size int) {
			t.Helper()
			msg, got := noise(1, size), make([]byte, size)
			for range n {
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = client.Write(msg) })
				_, err := io.ReadFull(client, got)
				wg.Wait()
				if err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("echo of %d bytes: %v", size, err)
				}
			}
		}
		talk(20, 100)
		if open, _ := r.pipes(); open != 0 || piping() {
			t.Errorf("messages made %d pipes", open)
		}
		for range 100 { // how much of a burst is there at once is up to the kernel
			if talk(1, 1<<20); piping() {
				break
			}
		}
		if open, used := r.pipes(); open == 0 || used != 0 || !piping() {
			t.Errorf("after bulk: %d pipes, %d in use, piping %v", open, used, piping())
		}
		talk(2*smallToBuf, 100)
		if piping() {
			t.Error("messages did not turn the flow back to copy")
		}
		client.Close()
	})
}

func (r *relays) pipes() (open, used int) {
	r.do(func() { open, used = r.pump.Pipes() })
	return open, used
}

// TestSlowReader has a server that does not read: what the relay holds is bounded, and in the end all arrives.
func TestSlowReader(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, maxPipes := range []int{0, 2} {
			conns := make(chan *net.TCPConn, 1)
			r := serve(t, engine, maxPipes, 0, testnet.Serve(t, testnet.Loopback(t), handOver(conns)))
			client, server, o := r.pair(conns)
			_ = client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			var wrote int64
			wg := sync.WaitGroup{}
			chunk := noise(9, 1<<20)
			sent := sha256.New()
			for {
				n, err := client.Write(chunk)
				sent.Write(chunk[:n])
				wrote += int64(n)
				if err != nil {
					var ne net.Error
					if !errors.As(err, &ne) || !ne.Timeout() {
						t.Fatal(err)
					}
					break
				}
				if wrote > 256<<20 {
					t.Fatal("the sender is never stopped")
				}
			}
			r.do(func() {
				// One full pipe, or the queue. Beyond its limit there may be what was on its way when the Recv was cancelled.
				bound := max(256<<10, 4*maxHeld*r.loop.BufSize())
				if n := o.relay.Pending(r.pump, Up); n > bound {
					t.Errorf("%d bytes held, want up to %d", n, bound)
				}
				if st := r.loop.Stats(); st.Bufs > 4*maxHeld {
					t.Errorf("%d buffers lent", st.Bufs)
				}
			})
			_ = client.SetWriteDeadline(time.Now().Add(patience))
			wg.Go(func() { _ = client.CloseWrite() })
			got, err := sum(server)
			wg.Wait()
			if want := [sha256.Size]byte(sent.Sum(nil)); err != nil || got != want {
				t.Errorf("%d bytes arrived as others: %v", wrote, err)
			}
			server.Close()
		}
	})
}

// TestReset has each side reset the connection: the other hears of it, after what was sent before.
func TestReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		conns := make(chan *net.TCPConn, 1)
		r := serve(t, engine, 2, 0, testnet.Serve(t, testnet.Loopback(t), handOver(conns)))
		for i := range 4 {
			client, server, _ := r.pair(conns)
			from, to := client, server
			if i%2 == 1 {
				from, to = server, client
			}
			if i >= 2 { // in the middle of a bulk transfer
				go func() { _, _ = to.Write(noise(3, 8<<20)) }()
				_, _ = io.ReadFull(from, make([]byte, 1<<20))
			}
			_ = from.SetLinger(0)
			from.Close()
			if _, err := io.Copy(io.Discard, struct{ io.Reader }{to}); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("round %d: %v", i, err)
			}
			to.Close()
		}
	})
}

// TestHalfClose has each side end its stream and listen on.
func TestHalfClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		conns := make(chan *net.TCPConn, 1)
		r := serve(t, engine, 2, 0, testnet.Serve(t, testnet.Loopback(t), handOver(conns)))
		for _, size := range []int{0, 1, 3 << 20} {
			for i := range 2 {
				client, server, _ := r.pair(conns)
				first, second := client, server
				if i == 1 {
					first, second = server, client
				}
				_, _ = first.Write([]byte("done"))
				_ = first.CloseWrite()
				if got, err := io.ReadAll(second); err != nil || string(got) != "done" {
					t.Fatalf("%q, %v", got, err)
				}
				answer := noise(4, size)
				go func() { _, _ = second.Write(answer); second.Close() }()
				if got, err := sum(first); err != nil || got != sha256.Sum256(answer) {
					t.Errorf("answer of %d bytes: %v", size, err)
				}
				first.Close()
			}
		}
	})
}

// TestFastClose has one side end its stream, with tcp_fastclose for it and for the other.
func TestFastClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, fast := range []Side{UpSide, DownSide} {
			conns := make(chan *net.TCPConn, 1)
			r := serve(t, engine, 2, fast, testnet.Serve(t, testnet.Loopback(t), handOver(conns)))
			client, server, _ := r.pair(conns)
			named, other := client, server
			if fast == UpSide {
				named, other = server, client
			}
			_, _ = named.Write([]byte("bye"))
			_ = named.CloseWrite()
			if got, err := io.ReadAll(other); err != nil || string(got) != "bye" {
				t.Errorf("%q, %v", got, err)
			}
			if n, err := named.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // though other has not ended
				t.Errorf("the relay stays: %d, %v", n, err)
			}
			client, server, o := r.pair(conns)
			if fast == DownSide {
				named, other = server, client
			} else {
				named, other = client, server
			}
			_ = named.CloseWrite()
			if _, err := io.ReadAll(other); err != nil {
				t.Error(err)
			}
			_, _ = other.Write([]byte("still here"))
			got := make([]byte, 10)
			if _, err := io.ReadFull(named, got); err != nil || string(got) != "still here" {
				t.Errorf("the end of the other side: %q, %v", got, err)
			}
			r.do(func() {
				if o.done {
					t.Error("done")
				}
			})
			client.Close()
			server.Close()
		}
	})
}
