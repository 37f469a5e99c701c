package header

import (
	"net/netip"
	"testing"
)

var client4 = netip.MustParseAddr("192.0.2.7")

// run passes pieces through a new Rewriter, with a destination of size bytes, and returns what the server gets.
func run(t testing.TB, cfg Config, client netip.Addr, size int, pieces ...[]byte) (string, *Rewriter) {
	t.Helper()
	var r Rewriter
	var out []byte
	dst := make([]byte, size)
	for _, p := range pieces {
		out = append(out, rewrite(t, &r, cfg, client, dst, p)...)
	}
	return string(out), &r
}

// rewrite passes one piece through r.
func rewrite(t testing.TB, r *Rewriter, cfg Config, client netip.Addr, dst, src []byte) []byte {
	t.Helper()
	var out []byte
	for off, idle := 0, 0; off < len(src); {
		res := r.Rewrite(cfg, client, dst, src[off:])
		switch {
		case res.Same && (res.Used != len(src)-off || res.Made != 0):
			t.Fatalf("same, but %+v of %d bytes", res, len(src)-off)
		case res.Same:
			out = append(out, src[off:]...)
		default:
			out = append(out, dst[:res.Made]...)
		}
		if off += res.Used; res.Used > 0 {
			idle = 0
		} else if idle++; idle > 1 {
			t.Fatalf("no progress at byte %d of %q", off, src)
		}
	}
	return out
}

// cut splits s at the given places.
func cut(s string, at ...int) [][]byte {
	var pieces [][]byte
	from := 0
	for _, i := range at {
		pieces = append(pieces, []byte(s[from:i]))
		from = i
	}
	return append(pieces, []byte(s[from:]))
}
