package header

// body begins what follows the header.
func (w *work) body() {
	switch {
	case w.flags&connect != 0 && !w.guarded():
		w.state = raw
	case w.flags&hasCoding != 0:
		w.state, w.match, w.num = inSize, 0, 0
	case w.left > 0:
		w.state = inBody
	default:
		w.state = inStart
	}
}

// endData is called when a body or a chunk is complete.
func (r *Rewriter) endData() {
	if r.state == inBody {
		r.state = inStart
		return
	}
	r.state = afterData
}

// size reads the hexadecimal size of a chunk. match counts digits.
func (w *work) size() {
	const maxDigits = 15 // of a size that is an int64 for any server
	for ; w.pos < w.end; w.pos++ {
		d, ok := hex(w.src[w.pos])
		if !ok {
			break
		}
		if w.match++; w.match > maxDigits {
			w.malformed()
			return
		}
		w.num = w.num<<4 | uint64(d)
	}
	if w.pos == w.end {
		return
	}
	if c := w.src[w.pos]; w.match == 0 || c != ';' && c != '\r' && !isBlank(c) {
		w.malformed()
		return
	}
	w.state = inExt
}

// ext passes the extensions of a chunk, up to CRLF. Unlike the lines of a header these never end in LF alone: servers
// disagree on whether that ends the line.
func (w *work) ext() {
	from := w.pos
	_, _, done, ok := w.take()
	switch {
	case !ok || done && !w.crlf:
		w.pos = from
		w.malformed()
	case done && w.num == 0:
		w.state = inTrailer
	case done:
		w.state, w.left = inChunk, w.num
		w.yield()
	}
}

// dataEnd passes the CRLF behind the data of a chunk.
func (w *work) dataEnd() {
	c := w.src[w.pos]
	switch {
	case c == '\r' && w.flags&cr == 0:
		w.flags |= cr
	case c == '\n' && w.flags&cr != 0:
		w.flags &^= cr
		w.state, w.match, w.num = inSize, 0, 0
	default:
		w.malformed()
		return
	}
	w.pos++
}

// trailer passes the lines behind the last chunk, up to a blank one.
func (w *work) trailer() {
	text, _, done, ok := w.take()
	if !ok {
		w.malformed()
		return
	}
	if len(text) > 0 {
		w.state = inRest
	}
	switch {
	case done && w.state == inTrailer:
		w.state = inStart
	case done:
		w.state = inTrailer
	}
}
