package match

import (
	"bytes"
	"net/netip"
)

// maxDatagramRequest is how much of a request is compared by Cache: pen cuts datagrams at 1024 bytes, and two
// addresses, or a long path, leave this much for the request.
//
// pen: kept 99 bytes and then found no longer request at all; a shorter one it found when it was the beginning of
// what pen had seen, so that a log line of "GET /" got the client of "GET /a".
const maxDatagramRequest = 800

// Cache is the memory of penlogd: the last entries that pen sent. It is for one goroutine.
type Cache struct {
	index   *Index
	max     int
	scratch []byte
}

// NewCache remembers max entries.
func NewCache(max int) *Cache { return &Cache{index: NewIndex(), max: max} }

// FromPen reports whether line is one of pen's, not one of a web server.
func FromPen(line []byte) bool { return len(line) > 0 && line[0] == '+' }

// Learn remembers an entry in the form `+ client server request`. It reports whether line is one. The server must
// be an address, as it is when pen sends it.
//
// pen: looks up names, which anybody who can send a datagram could use to keep it waiting, and crashes on unknown ones.
func (c *Cache) Learn(line []byte) bool {
	mark, rest, ok := word(trim(line))
	if !ok || string(mark) != "+" {
		return false
	}
	client, rest, ok := word(rest)
	if !ok || !isClient(client) {
		return false
	}
	server, request, ok := word(rest)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(string(server))
	if err != nil {
		return false
	}
	c.index.Add(c.key(addr.Unmap().String(), request), 0, client)
	if c.index.Len() > c.max {
		c.index.DropOldest()
	}
	return true
}

// Rewrite appends line, which a web server at from wrote, with its first word replaced by the client of the newest
// entry for that server and request; without one it is appended as it is. It reports whether line is one of a web
// server's log, with a first word and a request in quotes; else nothing is appended.
func (c *Cache) Rewrite(dst []byte, from netip.Addr, line []byte) ([]byte, bool) {
	line = trimEnd(line)
	request, ok := quoted(line)
	_, rest, hasRest := bytes.Cut(line, []byte{' '})
	if !ok || !hasRest {
		return dst, false
	}
	if client, ok := c.find(from.Unmap().WithZone("").String(), request); ok {
		dst = append(append(dst, client...), ' ')
		line = rest
	}
	return append(append(dst, line...), '\n'), true
}

// find looks for the request as it stands in the log, then for what it may have been before it was written there.
func (c *Cache) find(server string, request []byte) (client []byte, ok bool) {
	if client, ok = c.index.Newest(c.key(server, request)); ok || bytes.IndexByte(request, '\\') < 0 {
		return client, ok
	}
	c.scratch = unescape(c.scratch[:0], request)
	return c.index.Newest(c.key(server, c.scratch))
}

func (c *Cache) key(server string, request []byte) uint64 {
	return c.index.Key(server, request[:min(len(request), maxDatagramRequest)])
}

// trim is line without its end, whatever that is.
func trim(line []byte) []byte { return bytes.TrimRight(line, "\r\n") }

// trimEnd is line without the newline.
func trimEnd(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\n'}) }
