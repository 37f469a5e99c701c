package tlsloop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

var bothVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func TestEcho(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		for name, version := range bothVersions {
			c := r.dial(version)
			for _, n := range []int{1, 100, 16 << 10, 100_000, 3 << 20} {
				want := noise(n)
				go c.Write(want)
				got := make([]byte, n)
				if _, err := io.ReadFull(c, got); err != nil {
					t.Fatalf("%s, %d bytes: %v", name, n, err)
				}
				equal(t, got, want)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if rest, err := io.ReadAll(c); err != nil || len(rest) != 0 {
				t.Errorf("%s: after the end: %d bytes, %v", name, len(rest), err)
			}
			if err := r.end(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The end of the stream goes each way on its own.
func TestHalfClose(t *testing.T) {
	request, reply := noise(200_000), noise(300_000)
	eachEngine(t, func(t *testing.T, engine string) {
		got := make(chan []byte, 1)
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			b, _ := io.ReadAll(struct{ io.Reader }{c})
			got <- b
			_, _ = c.Write(reply)
		}))
		for name, version := range bothVersions {
			c := r.dial(version)
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			equal(t, <-got, request)
			b, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, b, reply)
		}
		// The server ends first; the client may go on.
		r2 := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			_, _ = c.Write(reply)
			_ = c.CloseWrite()
			b, _ := io.ReadAll(struct{ io.Reader }{c})
			got <- b
		}))
		c := r2.dial(tls.VersionTLS13)
		b, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		equal(t, b, reply)
		_, _ = c.Write(request)
		_ = c.CloseWrite()
		equal(t, <-got, request)
	})
}

// A client that reads slowly, or not at all for a while, holds up nobody and loses nothing.
func TestSlowReader(t *testing.T) {
	reply := noise(8 << 20)
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			_, _ = c.Write(reply)
		}))
		slow := r.dial(tls.VersionTLS13)
		quick := r.dial(tls.VersionTLS13)
		b, err := io.ReadAll(quick)
		if err != nil {
			t.Error(err)
		}
		equal(t, b, reply)
		if b, err = io.ReadAll(slow); err != nil {
			t.Error(err)
		}
		equal(t, b, reply)
	})
}

// held collects what is written until somebody wants to read, so that data travels with the last flight.
type held struct {
	net.Conn
	b bytes.Buffer
}

func (h *held) Write(p []byte) (int, error) { return h.b.Write(p) }

// SetWriteDeadline does nothing: crypto/tls lets no write follow close_notify in time.
func (h *held) SetWriteDeadline(time.Time) error { return nil }

func (h *held) flush() error { _, err := h.b.WriteTo(h.Conn); return err }

func (h *held) Read(p []byte) (int, error) {
	if err := h.flush(); err != nil {
		return 0, err
	}
	return h.Conn.Read(p)
}

func TestDataWithHandshake(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		for _, n := range []int{1, 40_000, 400_000} {
			h := &held{Conn: r.raw()}
			c := tls.Client(h, r.conf)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			want := noise(n)
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			equal(t, got, want)
		}
	})
}

// Handshakes that never end cost others nothing, even if only one may use the processor at a time.
func TestUnfinished(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 1, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		hello := firstFlight(t, r)
		for i := range 300 {
			c := r.raw()
			_, _ = c.Write(hello[:len(hello)*(i%4)/3]) // nothing, some, more, all of it
		}
		for r.begun.Load() < 300 {
			r.do(func() {})
		}
		for range 20 {
			c := r.dial(tls.VersionTLS13)
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	})
}

// firstFlight is a ClientHello.
func firstFlight(t *testing.T, r *rig) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		defer a.Close()
		_ = tls.Client(a, r.conf).Handshake()
	}()
	p := make([]byte, 8<<10)
	n, err := b.Read(p)
	if err != nil || !helloIsHere(p[:n]) {
		t.Fatalf("no ClientHello in %d bytes: %v", n, err)
	}
	return p[:n]
}

// What is no handshake is refused, with an alert that arrives although there is unread input.
func TestNonsense(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		hello := firstFlight(t, r)
		tests := []struct {
			name string
			say  []byte
		}{
			{"nothing", nil},
			{"text", []byte("GET / HTTP/1.0\r\n\r\n")},
			{"half a hello", hello[:len(hello)/2]},
			{"garbage behind a hello", append(bytes.Clone(hello), bytes.Repeat([]byte{0xff}, 200_000)...)},
			{"a record that is too long", append([]byte{22, 3, 1, 0xff, 0xff}, noise(70_000)...)},
		}
		for _, tt := range tests {
			c := r.raw()
			_, _ = c.Write(tt.say)
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			if err := r.end(); err == nil {
				t.Errorf("%s: became a connection", tt.name)
			}
		}
	})
}

// A record that was tampered with ends both sides.
func TestTampered(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		ended := make(chan error, 1)
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
			ended <- err
		}))
		h := &held{Conn: r.raw()}
		c := tls.Client(h, r.conf)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		_ = h.flush()
		_, _ = c.Write([]byte("hello"))
		h.b.Bytes()[h.b.Len()-1]++
		_ = h.flush()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("got %v instead of an alert", err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the server's connection is still open")
		}
	})
}

// Many at once, some of which break off.
func TestCrowd(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		var wg sync.WaitGroup
		for i := range 40 {
			raw := r.raw()
			wg.Go(func() {
				c := tls.Client(raw, r.conf)
				if i%5 == 0 {
					_ = raw.SetLinger(0)
					go c.Write(noise(100_000))
					raw.Close()
					return
				}
				want := noise(50_000 * (i%3 + 1))
				go c.Write(want)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c, got); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				equal(t, got, want)
				if i%2 == 0 {
					_ = raw.SetLinger(0)
				}
				raw.Close()
			})
		}
		wg.Wait()
	})
}

// A loop that ends in the middle of handshakes leaves no goroutine behind; TestMain looks.
func TestStopWhileShaking(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := newRig(t, engine, 1, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		c := r.raw()
		_, _ = c.Write(firstFlight(t, r))
		if _, err := c.Read(make([]byte, 1)); err != nil { // the answer: the goroutine waits for more
			t.Fatal(err)
		}
	})
}
