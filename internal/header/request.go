package header

// step reads on, by at least a byte or to another state.
func (w *work) step() {
	switch w.state {
	case inStart:
		w.start()
	case inMethod:
		w.method()
	case inTarget:
		w.target()
	case inField:
		w.field()
	case inName:
		w.name()
	case inValue:
		w.value()
	case inBlank:
		w.blank()
	case inBody, inChunk:
		n := int(min(w.left, uint64(w.end-w.pos)))
		w.pos += n
		w.Skip(uint64(n))
	case inSize:
		w.size()
	case inExt:
		w.ext()
	case afterData:
		w.dataEnd()
	case inTrailer, inRest:
		w.trailer()
	case raw:
		w.pos = w.end
	}
}

// start passes the empty lines that servers ignore before a request (RFC 9112, 2.2).
func (w *work) start() {
	for ; w.pos < w.end; w.pos++ {
		if c := w.src[w.pos]; c != '\r' && c != '\n' {
			w.state, w.match = inMethod, 0
			if !token[c] {
				w.foreign()
			}
			return
		}
	}
}

// method reads a method, in which only CONNECT matters.
func (w *work) method() {
	for ; w.pos < w.end; w.pos++ {
		c := w.src[w.pos]
		switch {
		case token[c]:
			w.match = progress(w.match, "connect", c)
		case c == ' ' || c == '\t':
			w.flags &= served | connect | upgrade
			w.num = uint64(w.match) // of the method, until the line is known to be a request
			w.state, w.match = inTarget, 0
			return
		default:
			w.foreign()
			return
		}
	}
}

// target reads the rest of the request line. It is one if its last word is HTTP/1 and a minor version. How many blanks
// there are, and whether some are in the target, is left to the server to judge.
func (w *work) target() {
	text, _, done, ok := w.take()
	if !ok {
		w.foreign()
		return
	}
	w.version(text)
	if !done {
		return
	}
	if w.match != versionRead && w.match != versionPast {
		w.foreign()
		return
	}
	if w.flags = w.flags&oldVersion | served; w.num == uint64(len("connect")) {
		w.flags |= connect
	}
	w.left, w.state = 0, inField
}

// Progress of version when a minor version was read, and when blanks came behind it.
const (
	versionRead = uint8(len("http/1.")) + 1 + iota
	versionPast
)

// version compares the last word of a line, of which text is the next part.
func (w *work) version(text []byte) {
	n := len(text)
	for n > 0 && isBlank(text[n-1]) {
		n--
	}
	from := n
	for from > 0 && !isBlank(text[from-1]) {
		from--
	}
	if n > 0 {
		if from > 0 || w.match == versionPast {
			w.match = 0
		}
		w.word(text[from:n])
	}
	switch {
	case n == len(text):
	case w.match == versionRead || w.match == versionPast:
		w.match = versionPast
	default:
		w.match = 0
	}
}

// word compares the next part of a word with HTTP/1 and a minor version.
func (w *work) word(text []byte) {
	const http1 = "http/1."
	for _, c := range text {
		switch {
		case w.match < uint8(len(http1)):
			w.match = progress(w.match, http1, c)
		case c < '0' || c > '9' || w.match > versionRead:
			w.match = mismatch
		case w.match == uint8(len(http1)):
			w.match = versionRead
			if w.flags &^= oldVersion; c == '0' {
				w.flags |= oldVersion
			}
		}
		if w.match == mismatch {
			return
		}
	}
}

// blank ends the header. What it lacks was added before.
func (w *work) blank() {
	c := w.src[w.pos]
	switch {
	case c == '\n':
		w.pos++
		w.flags &^= cr
		w.body()
		w.yield()
	case c == '\r' && w.flags&cr == 0:
		w.pos++
		w.flags |= cr
	default:
		w.malformed()
	}
}

// missing adds what the header lacks before the blank line that begins at pos, with line ends like that one's.
//
// pen: with bare LF, CRLF in front of what it adds.
func (w *work) missing() {
	eol := "\n"
	if w.src[w.pos] == '\r' {
		eol = "\r\n"
	}
	if w.flags&hasProto == 0 {
		scheme := "http"
		if w.cfg.HTTPS {
			scheme = "https"
		}
		w.add(w.pos, "X-Forwarded-Proto: ", scheme, eol)
	}
	if w.flags&hasFor == 0 && w.client.IsValid() {
		w.add(w.pos, "X-Forwarded-For: ")
		w.addClient()
		w.add(w.pos, eol)
	}
	w.reserve()
}
