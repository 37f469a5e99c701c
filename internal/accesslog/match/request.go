package match

import (
	"bytes"
	"net/netip"
)

// quoted is what stands between the first two quotes of line, of which a backslash may escape more.
func quoted(line []byte) (request []byte, ok bool) {
	_, rest, ok := bytes.Cut(line, []byte{'"'})
	if !ok {
		return nil, false
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return rest[:i], true
		case '\\':
			i++
		}
	}
	return nil, false
}

// unescape appends request with what web servers write for bytes that are not plain (Apache: \" \\ \n \xhh; nginx:
// \xhh) replaced by those bytes.
func unescape(dst, request []byte) []byte {
	for i := 0; i < len(request); i++ {
		c := request[i]
		if c != '\\' || i+1 == len(request) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = request[i]; {
		case c == 'x' && i+2 < len(request) && hex(request[i+1]) >= 0 && hex(request[i+2]) >= 0:
			c = byte(hex(request[i+1])<<4 | hex(request[i+2]))
			i += 2
		case c == '"' || c == '\\':
		case bytes.IndexByte(escapes, c) >= 0:
			c = escaped[bytes.IndexByte(escapes, c)]
		default:
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}

var escapes, escaped = []byte("abfnrtv"), []byte("\a\b\f\n\r\t\v")

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// word cuts the first word off line. The blank after it is gone, others are kept.
func word(line []byte) (first, rest []byte, ok bool) {
	first, rest, ok = bytes.Cut(line, []byte{' '})
	return first, rest, ok && len(first) > 0
}

// maxClient is longer than any address.
const maxClient = 128

// isClient reports whether word may be put into a log: it is an address, or what pen writes for other clients.
func isClient(word []byte) bool {
	for _, c := range word {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(word) > 0 && len(word) <= maxClient
}

// serverName is s in the form in which addresses are compared; other names stay as they are.
func serverName(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}
