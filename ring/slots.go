package ring

import (
	"math"

	"github.com/penlb/pen/internal/sock"
)

type sockState uint8

const (
	stateFree sockState = iota
	stateOpen
	stateClosing // Close was called, its completion not delivered
)

// pendingOp is an operation from its verb until its final completion is delivered.
type pendingOp struct {
	tok  Token
	op   Op
	done bool // the final completion is queued
}

// socket is what a loop knows of one socket. It holds no pointer, so the garbage collector does not look into the table.
type socket struct {
	name     Sock // with the generation of its current use
	fd       int32
	mask     uint32    // the engine's
	seen     uint32    // the last turn of hot
	flags    sockFlags // the engine's
	state    sockState
	listener bool // opened, and closed, by somebody else
	datagram bool
	six      bool  // a UDP socket of IPv6
	hot      uint8 // turns in a row in which it had datagrams; see hotTurns

	read  pendingOp // Accept, Recv, Readable or Receive
	write pendingOp // Send or Writable
	conn  pendingOp // Connect
	end   pendingOp // Close

	// of a Send
	buf  Buf
	from int32 // first byte in buf not yet written
	to   int32 // end of what is to be written
	sent int32 // bytes written so far

	peer sock.Endpoint
}

// sockFlags are bits that an engine defines for itself.
type sockFlags uint16

// side is where an operation of kind op is noted; the kinds that exclude each other share a side.
func (so *socket) side(op Op) *pendingOp {
	switch op {
	case OpAccept, OpRecv, OpReadable, OpReceive:
		return &so.read
	case OpSend, OpWritable:
		return &so.write
	case OpConnect:
		return &so.conn
	case OpClose:
		return &so.end
	}
	panic("ring: no such operation on a socket")
}

// The halves of a Sock.
const (
	slotBits = 24
	slotMask = 1<<slotBits - 1
)

// slot is the index of s in the table; the engines index tables of their own with it. 0 is never used.
func (s Sock) slot() uint32 { return uint32(s) & slotMask }

// slots is the table of sockets. It grows in chunks, so that a *socket stays valid while others are opened. A slot is
// used again at once, the last freed first, for its memory is warm; the generation keeps late comers apart.
type slots struct {
	chunks []*[chunkSlots]socket
	free   []uint32
	used   int
}

const chunkSlots = 256

func (t *slots) init() {
	t.grow()
	t.free = t.free[:len(t.free)-1] // slot 0 stays unused: the zero Sock is none
}

func (t *slots) grow() {
	base := uint32(len(t.chunks) * chunkSlots)
	if base+chunkSlots > slotMask {
		panic("ring: more than 2^24 sockets") // the descriptor limit is far below: fs.nr_open, 2^20
	}
	t.chunks = append(t.chunks, new([chunkSlots]socket))
	for i := base + chunkSlots; i > base; i-- {
		t.free = append(t.free, i-1)
	}
}

func (t *slots) at(i uint32) *socket { return &t.chunks[i/chunkSlots][i%chunkSlots] }

func (t *slots) alloc() *socket {
	if len(t.free) == 0 {
		t.grow()
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.used++
	so := t.at(i)
	gen := uint32(so.name)>>slotBits + 1 // wraps after 256 uses: no completion outlives the one of Close
	*so = socket{name: Sock(gen<<slotBits | i), fd: -1}
	return so
}

func (t *slots) release(so *socket) {
	so.state = stateFree
	so.fd = -1
	t.used--
	t.free = append(t.free, so.name.slot())
}

// get is the socket named s, or nil if it is closed.
func (t *slots) get(s Sock) *socket {
	i := s.slot()
	if i/chunkSlots >= uint32(len(t.chunks)) {
		return nil
	}
	so := t.at(i)
	if so.name != s || so.state == stateFree {
		return nil
	}
	return so
}

// each calls f with every socket that is not free.
func (t *slots) each(f func(*socket)) {
	for _, ch := range t.chunks {
		for i := range ch {
			if ch[i].state != stateFree {
				f(&ch[i])
			}
		}
	}
}

// checkRange panics unless b[off:off+n] is a part of a buffer of size bytes that can be sent.
func checkRange(off, n, size int) {
	if off < 0 || n <= 0 || n > size || off > size-n || size > math.MaxInt32 {
		panic("ring: send outside of the buffer")
	}
}

// setPeer notes the address of the other end.
func (so *socket) setPeer(e sock.Endpoint) { so.peer = e }
