package header

import "math"

// kind is what a field means here.
type kind uint8

const (
	plain     kind = iota
	length         // Content-Length
	coding         // Transfer-Encoding
	forwarded      // X-Forwarded-For to which the client is to be added
	dropped        // not for the server
)

// field reads a name from its first byte, or finds the blank line.
func (w *work) field() {
	if c := w.src[w.pos]; w.nheld == 0 && (c == '\r' || c == '\n') {
		if w.flags&hasCoding != 0 && w.flags&(hasLength|oldVersion) != 0 {
			w.malformed()
			return
		}
		w.state = inBlank
		w.missing()
		return
	}
	from := w.pos
	i := w.scan()
	n := int(w.nheld) + i - from
	switch {
	case i == w.end && n <= maxName:
		w.hold(from)
		return
	case i == w.end:
		w.nheld = 0
		w.pos, w.state = i, inName
		return
	case w.src[i] != ':' || n == 0:
		w.pos = i
		w.malformed()
		return
	}
	name := w.src[from:i]
	if w.nheld > 0 && n <= maxName {
		copy(w.held[w.nheld:], name)
		name = w.held[:n]
	}
	if n > maxName {
		name = nil
	}
	w.pos, w.state, w.match, w.num = i+1, inValue, 0, 0
	w.flags &^= marked
	if w.kind = w.classify(name); w.kind == dropped {
		w.flush(from)
		w.made -= int(w.nheld)
	}
	w.nheld = 0
}

// name passes the rest of a long name.
func (w *work) name() {
	if w.pos = w.scan(); w.pos == w.end {
		return
	}
	if w.src[w.pos] != ':' {
		w.malformed()
		return
	}
	w.pos++
	w.state, w.kind, w.match = inValue, plain, 0
}

// scan is where the token at pos ends.
func (w *work) scan() int {
	for i, c := range w.src[w.pos:w.end] {
		if !token[c] {
			return w.pos + i
		}
	}
	return w.end
}

// classify notes that the field called name is there, and returns what to do with its value.
func (w *work) classify(name []byte) kind {
	switch {
	case len(name) == 7 && is(name, "upgrade"):
		w.flags |= upgrade
	case len(name) == 14 && is(name, "content-length"):
		return length
	case len(name) == 17 && is(name, "transfer-encoding"):
		return coding
	case len(name) == 15 && w.isForwarded(name, "x-forwarded-for"):
		if w.cfg.Mode == Strict {
			return dropped
		}
		w.flags |= hasFor
		if w.cfg.Mode == Append && w.client.IsValid() {
			return forwarded
		}
	case len(name) == 17 && w.isForwarded(name, "x-forwarded-proto"):
		if w.cfg.Mode == Strict {
			return dropped
		}
		w.flags |= hasProto
	}
	return plain
}

// isForwarded is like is. In mode Strict an underscore is as good as a hyphen, since CGI and its heirs hand both to
// programs under one name.
func (w *work) isForwarded(name []byte, lower string) bool {
	if w.cfg.Mode != Strict {
		return is(name, lower)
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// value reads the value of a field. Lines that go on in the next one are refused there, since that begins with a blank.
func (w *work) value() {
	from := w.pos
	text, eol, done, ok := w.take()
	if !ok {
		w.malformed()
		return
	}
	switch w.kind {
	case length:
		ok = w.lengthValue(text, done)
	case coding:
		ok = w.codingValue(text, done)
	case forwarded:
		w.forwardedValue(text, eol)
	case dropped:
		w.omit(w.last, w.pos)
	}
	if !ok {
		w.pos = from
		w.malformed()
		return
	}
	if done {
		w.state = inField
	}
}

// lengthValue reads a Content-Length: digits, and the same number as before if it is not the first.
func (w *work) lengthValue(text []byte, done bool) bool {
	const (
		digits = 1
		behind = 2
	)
	for _, c := range text {
		switch {
		case isBlank(c):
			if w.match == digits {
				w.match = behind
			}
		case c < '0' || c > '9' || w.match == behind || w.num > (math.MaxInt64-uint64(c-'0'))/10:
			return false
		default:
			w.num, w.match = w.num*10+uint64(c-'0'), digits
		}
	}
	if !done {
		return true
	}
	if w.match == 0 || w.flags&hasLength != 0 && w.num != w.left {
		return false
	}
	w.flags |= hasLength
	w.left = w.num
	return true
}

// codingValue reads a Transfer-Encoding. Clients use none but chunked, and servers that know more disagree on them.
func (w *work) codingValue(text []byte, done bool) bool {
	const (
		chunked = "chunked"
		behind  = uint8(len(chunked)) + 1
	)
	for _, c := range text {
		switch {
		case isBlank(c) && w.match == 0:
		case isBlank(c) && w.match >= uint8(len(chunked)):
			w.match = behind
		case w.match >= uint8(len(chunked)):
			return false
		default:
			if w.match = progress(w.match, chunked, c); w.match == mismatch {
				return false
			}
		}
	}
	if !done {
		return true
	}
	if w.match < uint8(len(chunked)) || w.flags&hasCoding != 0 {
		return false
	}
	w.flags |= hasCoding
	return true
}

// forwardedValue passes the value of X-Forwarded-For and adds the client at its end. If there are several such fields
// each gets it, so that the client comes last for whoever reads but the first of them, the last, or all.
func (w *work) forwardedValue(text []byte, eol int) {
	const filled = 1
	for _, c := range text {
		if !isBlank(c) {
			w.match = filled
			break
		}
	}
	if eol < 0 || w.flags&marked != 0 {
		return
	}
	w.flags |= marked
	comma := " "
	if w.match == filled {
		comma = ", "
	}
	w.add(eol, comma)
	w.addClient()
	w.reserve()
}
