package ring_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

// TestPortableCongestion checks the option of Connect that package net has no words for.
func TestPortableCongestion(t *testing.T) {
	eachPortable(t, func(t *testing.T, l ring.Loop, got <-chan ring.Completion) {
		s := connect(t, l, got, testnet.Echo(), &sock.Options{Congestion: "reno"}) // always compiled in
		on(t, l, func() {
			if v, err := unix.GetsockoptString(l.FD(s), unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil || v != "reno" {
				t.Errorf("TCP_CONGESTION = %q, %v", v, err)
			}
		})
		a := sock.Addr{AddrPort: testnet.Serve(t, testnet.Loopback(t), testnet.Echo())}
		on(t, l, func() {
			if _, err := l.Connect(&a, &sock.Options{Congestion: "no-such-thing"}, tok); err != nil {
				t.Error(err)
			}
		})
		if c := await(t, got); c.Op != ring.OpConnect || c.Err != syscall.ENOENT {
			t.Errorf("an unknown algorithm: %+v, want %v", c, syscall.ENOENT)
		}
	})
}
