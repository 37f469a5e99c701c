package header

// token tells which bytes may be in methods and field names (RFC 9110, 5.6.2).
var token = func() (t [256]bool) {
	for c := range t {
		t[c] = '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// is reports whether name, a token as long as lower, is that word in any case.
func is(name []byte, lower string) bool {
	for i, c := range name {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// mismatch is the progress of a comparison that has failed.
const mismatch = 0xff

// progress compares the next byte c with lower, of which n bytes have matched, in any case.
func progress(n uint8, lower string, c byte) uint8 {
	if int(n) < len(lower) && (c == lower[n] || 'A' <= c && c <= 'Z' && c|0x20 == lower[n]) {
		return n + 1
	}
	return mismatch
}

func hex(c byte) (digit byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
