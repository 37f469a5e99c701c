package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

const (
	// MaxLine is more than any line needs, its newline included.
	MaxLine = 1 << 11

	maxRequest  = 100  // bytes of the request in a file
	maxDatagram = 1024 // bytes of a datagram
	maxPath     = 128  // bytes of a Unix socket's path; sun_path has 104 to 108
	maxCause    = 64
)

// Line is what there is to log. Nothing that it refers to is kept.
type Line struct {
	Time    int64      // nanoseconds since 1970
	Client  netip.Addr // invalid: a Unix client
	Server  netip.Addr // invalid: a Unix socket, at Path
	Path    string
	Request []byte // what came from the client; only the start of its first line is used

	// Only for JSON, and known only when the connection has ended.

	Up, Down uint64 // bytes to the server and to the client
	Duration time.Duration
	Cause    string // why the connection ended, one word
}

// Format is the form of a line.
type Format uint8

// The formats.
const (
	File Format = iota
	Datagram
	JSON
)

// Append appends l in format f, with its newline, and returns the extended slice. At most MaxLine bytes are appended,
// and memory is allocated only if dst has not that much room.
func (f Format) Append(dst []byte, l *Line) []byte {
	switch f {
	case Datagram:
		return AppendDatagram(dst, l)
	case JSON:
		return AppendJSON(dst, l)
	}
	return AppendFile(dst, l)
}

// AppendFile appends l as pen writes it to a file.
//
// pen: an unset or stale client address for Unix clients, here the word "unix"; control characters as they came,
// which whoever reads the log on a terminal had to suffer, here '.', as for bytes above 127.
func AppendFile(dst []byte, l *Line) []byte {
	dst = append(appendAddr(dst, l.Client, ""), ' ')
	dst = append(strconv.AppendInt(dst, l.Time/int64(time.Second), 10), ' ')
	dst = append(appendAddr(dst, l.Server, l.Path), ' ')
	return append(AppendRequest(dst, l.Request), '\n')
}

// AppendRequest appends what a log file keeps of a request. It may be called with a dst that is the empty start of
// request.
func AppendRequest(dst, request []byte) []byte { return appendPlain(dst, cut(request, maxRequest)) }

// AppendDatagram appends l as pen sends it to penlogd: without time, since it is sent at once, and with the bytes of
// the request as they are, since penlogd compares them.
func AppendDatagram(dst []byte, l *Line) []byte {
	start := len(dst)
	dst = append(appendAddr(append(dst, "+ "...), l.Client, ""), ' ')
	dst = append(appendAddr(dst, l.Server, l.Path), ' ')
	room := maxDatagram - len("\n") - (len(dst) - start)
	return append(append(dst, cut(l.Request, room)...), '\n')
}

// appendAddr appends one word. Zones are left out, as in all that pen prints.
func appendAddr(dst []byte, a netip.Addr, path string) []byte {
	switch {
	case a.IsValid():
		return a.WithZone("").AppendTo(dst)
	case path == "":
		return append(dst, "unix"...)
	}
	for _, c := range []byte(path[:min(len(path), maxPath)]) {
		if c <= ' ' || c >= 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendPlain appends b with a dot for each byte that is not ASCII or could act on a terminal.
func appendPlain(dst, b []byte) []byte {
	for _, c := range b {
		if c < ' ' && c != '\t' || c >= 0x7f {
			c = '.'
		}
		dst = append(dst, c)
	}
	return dst
}

// cut is the first line of b, without its end and of at most n bytes.
func cut(b []byte, n int) []byte {
	b = b[:min(len(b), n)]
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return b
}
