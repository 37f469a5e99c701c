//go:build !race

// sync.Pool forgets on purpose under the race detector.

package tlsloop

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/penlb/pen/internal/testnet"
)

// theirs is what crypto/tls allocates for an exchange: a reader for each wait for a record, here and in the client.
const theirs = 6

// An exchange allocates nothing of ours, in either direction.
func TestAllocs(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		if engine == "portable" {
			t.Skip("its goroutines report by channels of their own")
		}
		r := newRig(t, engine, 2, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()))
		c := r.dial(tls.VersionTLS13)
		b := make([]byte, 20_000)
		exchange := func() {
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			exchange()
		}
		if n := testing.AllocsPerRun(200, exchange); n > theirs {
			t.Errorf("%v allocations, want at most %d", n, theirs)
		}
	})
}
