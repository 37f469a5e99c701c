package header

import (
	"math"
	"net/netip"
)

// Mode says what becomes of forwarded headers that the client has sent itself.
type Mode uint8

// The modes.
const (
	Keep   Mode = iota // leave what is there alone, and add what is absent
	Append             // add the client to each X-Forwarded-For that is there, and what is absent
	Strict             // replace them
)

// Modes are the names of the modes.
func Modes() []string { return []string{Keep: "keep", Append: "append", Strict: "strict"} }

func (m Mode) String() string { return Modes()[m] }

// Config is how requests are changed. The zero Config is what pen does.
type Config struct {
	Mode  Mode
	HTTPS bool // the clients of this listener speak TLS: X-Forwarded-Proto is https, not http
}

// Extra is how much longer the destination of Rewrite must be than what one call can take without adding anything.
const Extra = 128

// maxName is the length of the longest field name that matters: transfer-encoding, x-forwarded-proto.
const maxName = 17

// Rewriter follows the requests of one connection. It is small, holds no pointers, and the zero Rewriter is at the
// start of a connection. It belongs to one goroutine.
type Rewriter struct {
	left  uint64 // Content-Length while the header is read, then what is still to come of the body or the chunk
	num   uint64 // the number being read
	state state
	flags flags
	match uint8 // progress within the word being compared
	kind  kind  // of the field whose value is being read
	nheld uint8
	held  [maxName]byte // the start of a field name whose end has not come yet
}

// state is what the next byte is part of.
type state uint8

const (
	inStart   state = iota // empty lines before a request, or its first byte
	inMethod               //
	inTarget               // the rest of the request line
	inField                // a name, from its first byte, or the blank line
	inName                 // a name that is longer than any that matters
	inValue                //
	inBlank                // the blank line; what is added stands before it
	inBody                 //
	inSize                 // a chunk size
	inExt                  // what follows it on its line
	inChunk                //
	afterData              // the line end behind a chunk
	inTrailer              // a line of the trailer, from its first byte
	inRest                 // the rest of such a line
	raw                    //
	refused                //
)

// flags are facts about the request being read; those of the connection outlive it.
type flags uint16

const (
	cr         flags = 1 << iota // the last byte was the CR of a line end
	oldVersion                   // HTTP/1.0
	hasLength
	hasCoding
	hasProto
	hasFor
	marked  // the client has been added to this X-Forwarded-For
	connect // the request asks for a tunnel
	upgrade // the request asks for another protocol

	served // of the connection: there was a request
)

// Result says what a call of Rewrite has done.
type Result struct {
	Used int  // bytes of src that are dealt with
	Made int  // bytes written to dst, to be sent
	Same bool // all of src, which is used up, is to be sent as it is; dst was not touched
}

// Rewrite takes src, the next bytes from the client, and yields what the server is to get: src itself if Same, and
// otherwise dst[:Made], which may be nothing as yet. It takes as much of src as dst, which must be longer than Extra
// and must not overlap src, surely has room for; call it with the rest until all is used:
//
//	for off := 0; off < len(src); {
//		res := r.Rewrite(cfg, client, dst, src[off:])
//		if res.Same {
//			send(src[off:])
//		} else {
//			send(dst[:res.Made])
//		}
//		off += res.Used
//	}
//
// A body that begins in src is not copied if dst has no room for it, but left for the next call, which finds it the
// Same.
//
// An invalid client, one on a Unix socket, has no address to add. Zones are left out. At the end of the stream up to
// 17 bytes of a field name that was cut off are forgotten. Rewrite does not allocate and costs time linear in the
// bytes read and written.
func (r *Rewriter) Rewrite(cfg Config, client netip.Addr, dst, src []byte) Result {
	if n := r.Untouched(); n >= uint64(len(src)) {
		r.Skip(uint64(len(src)))
		return Result{Used: len(src), Same: true}
	}
	if r.state == refused {
		return Result{Used: len(src)}
	}
	if len(dst) <= Extra {
		panic("header: no room in dst")
	}
	w := work{Rewriter: r, cfg: cfg, client: client, dst: dst, src: src, end: min(len(src), len(dst)-Extra)}
	w.unhold()
	for w.pos < w.end {
		w.step()
	}
	return w.finish()
}

// Raw reports whether the rest of the stream passes unchanged, so that the caller may stop calling Rewrite.
func (r *Rewriter) Raw() bool { return r.state == raw }

// Refused reports whether the request cannot be framed and must not be completed. What Rewrite made before is harmless
// to send; it makes nothing more, and the caller should close the connection. Never in mode Keep.
func (r *Rewriter) Refused() bool { return r.state == refused }

// Untouched is how many of the next bytes, being a body, pass unchanged whatever they are. The caller may move them
// past the Rewriter and report so to Skip. It is math.MaxUint64 if the stream is raw.
func (r *Rewriter) Untouched() uint64 {
	switch r.state {
	case inBody, inChunk:
		return r.left
	case raw:
		return math.MaxUint64
	}
	return 0
}

// Skip notes that n bytes, at most Untouched, have passed.
func (r *Rewriter) Skip(n uint64) {
	switch r.state {
	case inBody, inChunk:
		if n > r.left {
			panic("header: skipped more than the body")
		}
		if r.left -= n; r.left == 0 {
			r.endData()
		}
	}
}
