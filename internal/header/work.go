package header

import (
	"bytes"
	"net/netip"
)

// work is one call of Rewrite.
//
//	src  ├─── in dst already ───┼── unchanged ──┼── not read ──┼── not now ──┤
//	     0                     last            pos            end       len(src)
//
// dst always has room for src[last:end] and one addition of Extra bytes.
type work struct {
	*Rewriter
	cfg    Config
	client netip.Addr
	dst    []byte
	src    []byte
	made   int
	last   int
	pos    int
	end    int
	edited bool // dst differs from src, or will
	crlf   bool // the line that take has ended had a CR
}

// flush copies what is unchanged up to src[to].
func (w *work) flush(to int) {
	w.made += copy(w.dst[w.made:], w.src[w.last:to])
	w.last, w.edited = to, true
}

// add appends text to dst, after src[:at]. reserve must follow.
func (w *work) add(at int, text ...string) {
	w.flush(at)
	for _, s := range text {
		w.made += copy(w.dst[w.made:], s)
	}
}

func (w *work) addClient() {
	w.made = len(w.client.Unmap().WithZone("").AppendTo(w.dst[:w.made]))
}

// reserve gives up as much of src as needed for dst to have room again.
func (w *work) reserve() {
	w.end = max(w.pos, min(w.end, w.last+len(w.dst)-w.made-Extra))
}

// omit drops src[from:to].
func (w *work) omit(from, to int) {
	w.flush(from)
	w.last = to
}

// unhold puts the start of a name, held since the last call, in front of src.
func (w *work) unhold() {
	if w.nheld > 0 {
		w.made = copy(w.dst, w.held[:w.nheld])
		w.edited = true
	}
}

// hold keeps the started name src[from:end] back, with what was held of it before.
func (w *work) hold(from int) {
	w.omit(from, w.end)
	w.made -= int(w.nheld)
	w.nheld += uint8(copy(w.held[w.nheld:], w.src[from:w.end]))
	w.pos = w.end
}

// finish hands over what is left.
func (w *work) finish() Result {
	if w.state == refused {
		return Result{Used: len(w.src), Made: w.made}
	}
	if w.state == inValue && w.kind == dropped {
		w.omit(w.last, w.pos)
	}
	if !w.edited && w.pos == len(w.src) {
		return Result{Used: w.pos, Same: true}
	}
	w.flush(w.pos)
	return Result{Used: w.pos, Made: w.made}
}

// yield ends the call before the rest of src if that passes unchanged and dst has no room for it.
func (w *work) yield() {
	rest := len(w.src) - w.pos
	if w.end == len(w.src) || w.Untouched() < uint64(rest) {
		return
	}
	w.end = w.pos
	if !w.edited {
		w.pos, w.end = len(w.src), len(w.src)
		w.Skip(uint64(rest))
	}
}

// take reads on to the end of the line. It returns what comes before that; where the line ends, or -1 if the end was
// not reached or began in an earlier piece; whether the line is complete; and false if it has a NUL, or a CR that is
// not part of its end; then nothing was read.
func (w *work) take() (text []byte, eol int, done, ok bool) {
	text = w.src[w.pos:w.end]
	next := w.end
	n := bytes.IndexByte(text, '\n')
	if done = n >= 0; done {
		next = w.pos + n + 1
		text = text[:n]
	}
	eol = -1
	i := bytes.IndexByte(text, '\r')
	switch half := w.flags&cr != 0; {
	case half && n != 0:
		return nil, -1, false, false
	case half:
		w.flags &^= cr
		w.crlf = true
	case i >= 0 && i < len(text)-1:
		return nil, -1, false, false
	case i >= 0:
		text, eol, w.crlf = text[:i], w.pos+i, done
		if !done {
			w.flags |= cr
		}
	case done:
		eol, w.crlf = w.pos+n, false
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, -1, false, false
	}
	w.pos = next
	return text, eol, done, true
}

// guarded reports whether the client may not make forwarded headers of its own pass.
func (w *work) guarded() bool { return w.cfg.Mode != Keep }

// malformed gives up on a request.
func (w *work) malformed() {
	if w.guarded() {
		if w.last < w.pos && (w.state != inValue || w.kind != dropped) {
			w.flush(w.pos)
		}
		w.state, w.pos, w.end = refused, len(w.src), 0
		return
	}
	w.rest()
}

// foreign notes that this is not the start of a request: another protocol, unless there were requests before.
func (w *work) foreign() {
	if w.guarded() && w.flags&(served|connect|upgrade) == served {
		w.malformed()
		return
	}
	w.rest()
}

// rest makes the stream raw.
func (w *work) rest() {
	w.state = raw
	w.yield()
}
