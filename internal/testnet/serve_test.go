package testnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// dial connects to a server with behaviour b; the connection gives up after some seconds rather than hang.
func dial(t *testing.T, b Behaviour) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", Serve(t, Loopback(t), b).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

func TestEcho(t *testing.T) {
	c := dial(t, Echo())
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestReset(t *testing.T) {
	c := dial(t, Reset(2))
	if _, err := c.Write([]byte("xy")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

func TestHalfClose(t *testing.T) {
	c := dial(t, HalfClose([]byte("bye")))
	if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
		t.Fatalf("got %q, %v", got, err)
	}
	for range 4 { // the other direction is still open; on a closed one the second write would fail
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDrip(t *testing.T) {
	c := dial(t, Drip(1024, time.Millisecond))
	start := time.Now()
	if _, err := c.Write(make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if _, err := io.ReadAll(c); err != nil { // ends once the server has read all
		t.Fatal(err)
	}
	if took := time.Since(start); took < 16*time.Millisecond {
		t.Errorf("32 pieces took %v", took)
	}
}

func TestStall(t *testing.T) {
	c := dial(t, Stall(1))
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := io.Copy(c, io.LimitReader(zeros{}, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes written, error %v; want a write that stalls", n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestServeEndsConnections(t *testing.T) {
	var c net.Conn
	t.Run("inner", func(t *testing.T) {
		var err error
		if c, err = net.Dial("tcp", Serve(t, Loopback(t), Echo()).String()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, []byte{}) {
		t.Errorf("after the test: %q, %v; want the end of the stream", got, err)
	}
}
