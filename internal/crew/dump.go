package crew

import (
	"fmt"

	"github.com/penlb/pen/internal/settings"
)

// Dumps reports whether all data is to be shown: -d three times.
func Dumps(st *settings.Settings) bool { return st.Debug > 2 }

// Show dumps data, if that is wanted.
func (c *Config) Show(st *settings.Settings, data []byte) {
	if Dumps(st) {
		c.Dump(dump(data, st.ASCII))
	}
}

// dump shows data in pen's form: the length, then hexadecimal bytes, or text with a point for what is not printable.
func dump(data []byte, ascii bool) []byte {
	b := fmt.Appendf(make([]byte, 0, 3*len(data)+16), "%d: ", len(data))
	for _, c := range data {
		switch {
		case !ascii:
			b = fmt.Appendf(b, "%02x ", c)
		case c >= ' ' && c < 127, c == '\n', c == '\r', c == '\t':
			b = append(b, c)
		default:
			b = append(b, '.')
		}
	}
	return append(b, '\n')
}
