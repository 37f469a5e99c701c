package tlsloop

import (
	"testing"

	"pgregory.net/rapid"
)

func TestHelloIsHere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"nothing", nil, false},
		{"a part of the header", []byte{22, 3, 1, 0}, false},
		{"a part of the record", []byte{22, 3, 1, 0, 2, 1}, false},
		{"a record", []byte{22, 3, 1, 0, 1, 1}, true},
		{"a record and more", []byte{22, 3, 1, 0, 1, 1, 2}, true},
		{"text", []byte("G"), true},
		{"too long to be a record", []byte{22, 3, 1, 0xff, 0xff}, true},
	}
	for _, tt := range tests {
		if got := helloIsHere(tt.in); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Once there, more bytes change nothing, and no input needs more than one record.
func FuzzHelloIsHere(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 1, 1}, []byte{0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		whole := append(append([]byte(nil), a...), b...)
		if helloIsHere(a) && !helloIsHere(whole) {
			t.Errorf("%x is complete, and with %x it is not", a, b)
		}
		if len(whole) >= recordHeader+maxRecord && !helloIsHere(whole) {
			t.Errorf("%d bytes are not enough", len(whole))
		}
	})
}

// However a stream of records is cut, it passes whole, and no piece reaches into the next record.
func TestFramer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		ends := map[int]bool{}
		for _, n := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 9), rapid.IntRange(0, 1<<16-1)), 1, 6).Draw(t, "records") {
			stream = append(stream, 23, 3, 3, byte(n>>8), byte(n))
			stream = append(stream, make([]byte, n)...)
			ends[len(stream)] = true
		}
		var f framer
		for at := 0; at < len(stream); {
			want := rapid.OneOf(rapid.IntRange(1, 7), rapid.IntRange(1, 1<<17)).Draw(t, "piece")
			b := stream[at:min(at+want, len(stream))]
			n := f.take(b)
			if n < 1 || n > len(b) {
				t.Fatalf("took %d bytes of %d", n, len(b))
			}
			for i := at + 1; i < at+n; i++ {
				if ends[i] {
					t.Fatalf("a piece from %d to %d goes past the end of a record at %d", at, at+n, i)
				}
			}
			if n < len(b) && f.n == 0 && !ends[at+n] {
				t.Fatalf("a piece from %d to %d ends in the middle of a record", at, at+n)
			}
			at += n
		}
	})
}
