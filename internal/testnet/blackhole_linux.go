package testnet

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// BlackHole makes l, a TCP listener that nobody accepts from, swallow connection attempts: its queue is shrunk and
// filled, so that the kernel drops every further SYN and a connect stays under way until it times out. It returns
// l's address. dial makes connections that reach l: [net.Dialer.DialContext] for one on the loopback, and
// [Host.DialContext] inside a lab.
func BlackHole(t testing.TB, l net.Listener, dial func(ctx context.Context, network, addr string) (net.Conn, error)) netip.AddrPort {
	t.Helper()
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var lerr error
	// listen(2) once more changes the length of the queue. Even a queue of 0 takes one connection.
	if err := raw.Control(func(fd uintptr) { lerr = syscall.Listen(int(fd), 0) }); err != nil || lerr != nil {
		t.Fatal(err, lerr)
	}
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		c, err := dial(ctx, "tcp", l.Addr().String())
		cancel()
		if err != nil { // it timed out: full
			return l.Addr().(*net.TCPAddr).AddrPort()
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatalf("black hole %v: accepts without end", l.Addr())
	return netip.AddrPort{}
}
