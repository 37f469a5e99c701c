package balance

import (
	"fmt"
	"net/netip"
	"testing"
)

// The vectors of the reference implementation: the key is 00 01 … 0f, the message 00 01 … of 16 and 18 bytes.
func TestSipHash(t *testing.T) {
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	for _, tc := range []struct{ tail, want uint64 }{
		{16 << 56, 0x3f2acc7f57c29bdb},
		{18<<56 | 0x1110, 0x4bc1b3f0968dd39c},
	} {
		if got := sipHash(k0, k1, k0, k1, tc.tail); got != tc.want {
			t.Errorf("tail %x: got %x, want %x", tc.tail, got, tc.want)
		}
	}
}

// These may never change: pens of different versions share clients.
func TestHashIsForEver(t *testing.T) {
	for _, tc := range []struct {
		addr string
		port uint16
		rr   bool
		want int
	}{
		{"192.0.2.1", 0, false, 0},
		{"::ffff:192.0.2.1", 0, false, 0},
		{"192.0.2.1", 1000, false, 0},
		{"192.0.2.1", 1000, true, 4},
		{"2001:db8::1", 0, false, 8},
		{"", 0, false, 3},
	} {
		a, _ := netip.ParseAddr(tc.addr)
		if got := byHash(10, &Rules{RoundRobin: tc.rr}, &Client{Addr: a, Port: tc.port}); got != tc.want {
			t.Errorf("%+v: got %d", tc, got)
		}
	}
	if got := byHash(0, &Rules{}, &Client{}); got != None {
		t.Errorf("no servers: got %d", got)
	}
}

func TestHashSpreads(t *testing.T) {
	for _, n := range []int{2, 3, 4, 10} {
		for _, format := range []string{"10.0.%d.%d", "2001:db8::%x:%x"} {
			t.Run(fmt.Sprint(n, format), func(t *testing.T) {
				const clients = 10000
				seen := make([]int, n)
				for i := range clients {
					a := netip.MustParseAddr(fmt.Sprintf(format, i>>8, i&255))
					seen[byHash(n, &Rules{}, &Client{Addr: a})]++
				}
				for i, got := range seen {
					if want := clients / n; got < want*9/10 || got > want*11/10 {
						t.Errorf("server %d has %d clients, want about %d", i, got, want)
					}
				}
			})
		}
	}
}
