package load

import "testing"

// Requests may arrive in any pieces, several at a time or a byte at a time.
func TestTakeAnyPieces(t *testing.T) {
	t.Parallel()
	var stream []byte
	want := uint64(0)
	for _, g := range []Group{
		{Kind: Ping, Request: 64, Reply: 1000},
		{Kind: Ping, Request: HeaderBytes, Reply: 1},
		{Kind: Ping, Request: 5000, Reply: 64},
	} {
		stream = append(stream, g.request()...)
		want += uint64(g.Reply)
	}
	for _, piece := range []int{1, 3, 7, 8, 9, 64, 1000, len(stream)} {
		b := &backend{}
		c := &answer{}
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			if !b.take(-1, c, rest[:n]) {
				t.Fatalf("pieces of %d: refused", piece)
			}
			rest = rest[n:]
		}
		if c.out != want || c.filled != 0 || c.left != 0 {
			t.Errorf("pieces of %d: owes %d bytes, %d of a header and %d of a request open; want %d, 0, 0", piece, c.out, c.filled, c.left, want)
		}
	}
}

func TestTakeRefusesABrokenHeader(t *testing.T) {
	t.Parallel()
	in := make([]byte, HeaderBytes)
	putHeader(in, HeaderBytes-1, 64)
	if (&backend{}).take(-1, &answer{}, in) {
		t.Error("took a request shorter than its header")
	}
}
