package header

import (
	"fmt"
	"strings"
	"testing"
)

// However a stream is cut in two, or into bytes, and however small the destination, the server gets the same.
func TestSplits(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in, want := sides(tt.stream)
			check := func(how string, size int, pieces ...[]byte) {
				t.Helper()
				got, r := run(t, tt.cfg, client4, size, pieces...)
				if tt.state == refused && strings.HasPrefix(want, got) {
					got = want // where a refused stream ends depends on the pieces
				}
				if got != want || r.state != tt.state {
					t.Errorf("%s: %q in state %d, want %q in state %d", how, got, r.state, want, tt.state)
				}
			}
			var bytes [][]byte
			for i := range len(in) {
				bytes = append(bytes, []byte{in[i]})
				for _, size := range []int{Extra + 1, Extra + 40, 4096} {
					check(fmt.Sprintf("cut at %d, %d bytes of room", i, size), size, cut(in, i)...)
				}
			}
			check("bytes", Extra+1, bytes...)
		})
	}
}
