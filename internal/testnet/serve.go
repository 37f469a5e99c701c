package testnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// A Behaviour is how a server treats one connection, on a goroutine of the connection's own. ctx ends with the test;
// from then on reads and writes fail at once. The connection is closed when the behaviour returns.
type Behaviour func(ctx context.Context, c *net.TCPConn)

// Loopback listens on a free port of 127.0.0.1 until the end of the test.
func Loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Serve treats the connections that arrive on l, a TCP listener, by b, and returns l's address. At the end of the
// test l is closed, every connection is broken off, and their goroutines are awaited.
func Serve(t testing.TB, l net.Listener, b Behaviour) netip.AddrPort {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { treat(ctx, c.(*net.TCPConn), b) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func treat(ctx context.Context, c *net.TCPConn, b Behaviour) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	b(ctx, c)
}

// Echo sends back what comes, and ends when the peer does.
func Echo() Behaviour {
	return func(_ context.Context, c *net.TCPConn) {
		// Bare connections would be spliced, through pipes that package net keeps: they look like leaks.
		_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
	}
}

// Reset reads n bytes and then resets the connection.
func Reset(n int64) Behaviour {
	return func(_ context.Context, c *net.TCPConn) {
		_, _ = io.CopyN(io.Discard, c, n)
		_ = c.SetLinger(0)
	}
}

// HalfClose sends reply and the end of its stream at once, then reads the peer's stream to the end.
func HalfClose(reply []byte) Behaviour {
	return func(_ context.Context, c *net.TCPConn) {
		_, _ = c.Write(reply)
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
}

// Drip reads at most n bytes (with a receive buffer to match) every pause, to the end of the stream.
func Drip(n int, pause time.Duration) Behaviour {
	return func(ctx context.Context, c *net.TCPConn) {
		_ = c.SetReadBuffer(n)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for piece := make([]byte, n); ; {
			if _, err := c.Read(piece); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
}

// Stall reads n bytes and then nothing more, with a small receive buffer, until the test ends.
func Stall(n int64) Behaviour {
	return func(ctx context.Context, c *net.TCPConn) {
		_ = c.SetReadBuffer(1) // the kernel makes it its minimum
		_, _ = io.CopyN(io.Discard, c, n)
		<-ctx.Done()
	}
}
