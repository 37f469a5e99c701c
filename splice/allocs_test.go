package splice

import (
	"io"
	"testing"

	"github.com/penlb/pen/internal/testnet"
)

// TestSteadyStateAllocatesNothing carries messages in copy and bulk in pipe.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		if engine == "portable" { // package net allocates, and has no pipes
			return
		}
		r := serve(t, engine, 2, 0, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		client, o := r.dial()
		message, bulk, got := make([]byte, 64), make([]byte, 1<<20), make([]byte, 1<<20)
		turn := make(chan []byte)
		written := make(chan struct{})
		go func() {
			for b := range turn {
				_, _ = client.Write(b)
				written <- struct{}{}
			}
		}()
		echo := func(b []byte) {
			turn <- b
			if _, err := io.ReadFull(client, got[:len(b)]); err != nil {
				t.Error(err)
			}
			<-written
		}
		// A run is many round trips, so that what others allocate meanwhile does not count.
		if n := testing.AllocsPerRun(5, func() {
			for range 100 {
				echo(message)
			}
		}); n > 1 {
			t.Errorf("copy: %v allocations in 100 round trips", n)
		}
		for range 10 {
			echo(bulk)
		}
		if n := testing.AllocsPerRun(5, func() {
			for range 10 {
				echo(bulk)
			}
		}); n > 1 {
			t.Errorf("pipe: %v allocations in 10 MB", n)
		}
		if open, _ := r.pipes(); open == 0 {
			t.Error("no pipes were used")
		}
		close(turn)
		r.do(func() {
			if o.relay.Bytes(Up) != o.relay.Bytes(Down) {
				t.Errorf("%d bytes up, %d down", o.relay.Bytes(Up), o.relay.Bytes(Down))
			}
		})
		client.Close()
	})
}
