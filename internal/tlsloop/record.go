package tlsloop

const (
	recordHeader    = 5     // type, version, length: RFC 8446, 5.1
	recordHandshake = 22    // type
	maxRecord       = 16640 // 2^14+256, the longest that any version allows
)

// helloIsHere reports whether the first record of b, which should hold a ClientHello, is complete, or will never be
// one. It is no judge: crypto/tls is.
func helloIsHere(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case b[0] != recordHandshake:
		return true
	case len(b) < recordHeader:
		return false
	}
	n := recordBytes(b)
	return n > maxRecord || len(b) >= recordHeader+n
}

// recordBytes is the length that header tells, of what follows it.
func recordBytes(header []byte) int { return int(header[3])<<8 | int(header[4]) }

// framer finds the ends of records in their stream.
type framer struct {
	header [recordHeader]byte // of the record under way
	n      uint8              // bytes of it that have been seen
	left   uint16             // bytes of the record that have not
}

// take passes bytes of b, the next of the stream, up to the end of a record at most. It returns how many: at least one,
// if there is one.
func (f *framer) take(b []byte) int {
	n := 0
	if f.left == 0 {
		n = copy(f.header[f.n:], b)
		if f.n += uint8(n); f.n < recordHeader {
			return n
		}
		f.n, f.left = 0, uint16(recordBytes(f.header[:]))
	}
	m := min(len(b)-n, int(f.left))
	f.left -= uint16(m)
	return n + m
}
