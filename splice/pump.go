package splice

import "github.com/penlb/pen/ring"

// Switch points between the strategies, and the bound on what a flow holds. Copying costs less than splicing for pieces
// up to some 16 KB, and several times as much for bulk: see docs/benchmarks.md.
const (
	maxHeld    = 4         // received pieces at most that wait for their turn before a flow stops reading
	heldBytes  = 256 << 10 // in them, if they are full, but two of them may wait
	bulkBytes  = 128 << 10 // in full buffers in a row: turns a flow from copy to pipe
	smallBytes = 32 << 10  // a splice below this is small: copying it costs no more
	smallToBuf = 8         // small splices in a row that turn a flow back to copy
	turnBytes  = 1 << 20   // bytes that one flow may move before the others have their turn
)

// Pump is what the relays of one loop share: the queue nodes and the pipes. It belongs to the loop's goroutine.
type Pump struct {
	loop  ring.Loop
	held  uint16 // pieces that wait for their turn before a flow stops reading
	pipes pipes
	nodes []node // nodes[0] is not used, so that 0 is none
	free  uint32
}

// node is a received piece in the queue of a flow.
type node struct {
	buf  ring.Buf
	off  uint32
	n    uint32
	next uint32
}

// NewPump returns the pump of loop l, which may hold at most maxPipes pipes at a time; 0 means copy only.
func NewPump(l ring.Loop, maxPipes int) *Pump {
	p := &Pump{loop: l, held: uint16(min(maxHeld, max(2, heldBytes/l.BufSize()))), nodes: make([]node, 1, 64)}
	if l.HasFD() {
		p.pipes.max = maxPipes
	}
	return p
}

// Loop is the pump's loop.
func (p *Pump) Loop() ring.Loop { return p.loop }

// Pipes is the number of pipes that exist, and of those with bytes inside.
func (p *Pump) Pipes() (open, used int) { return p.pipes.count() }

// Close closes the pooled pipes. Call it when no relay is left.
func (p *Pump) Close() { p.pipes.close() }

// receive starts reading the source of d, unless it is being read.
func (p *Pump) receive(r *Relay, d Dir) {
	f := &r.flow[d]
	f.flags |= receiving
	p.loop.Recv(r.sock[d], r.token)
}

// measure counts full buffers and asks for strategy pipe when they come in a row. A short piece the other way ends the
// row: request and answer take turns, and are messages however long they are.
func (p *Pump) measure(r *Relay, d Dir, n int) {
	f, size := &r.flow[d], p.loop.BufSize()
	if n < size {
		f.full, r.flow[1-d].full = 0, 0
		return
	}
	if f.full++; int(f.full)*size < bulkBytes || f.has(wantPipe|deaf|copying) || !p.pipes.usable() {
		return
	}
	f.flags |= wantPipe
	if f.flags&(receiving|stopping) == receiving {
		f.flags |= stopping
		p.loop.Cancel(r.sock[d], ring.OpRecv)
	}
}

func (p *Pump) push(f *flow, b ring.Buf, off, n int) {
	i := p.free
	if i == 0 {
		p.nodes = append(p.nodes, node{})
		i = uint32(len(p.nodes) - 1)
	} else {
		p.free = p.nodes[i].next
	}
	p.nodes[i] = node{buf: b, off: uint32(off), n: uint32(n)}
	if f.head == 0 {
		f.head = i
	} else {
		p.nodes[f.tail].next = i
	}
	f.tail = i
	f.held++
}

// pop takes the oldest piece off the queue; its buffer is the caller's.
func (p *Pump) pop(f *flow) {
	i := f.head
	f.head = p.nodes[i].next
	f.held--
	p.nodes[i] = node{next: p.free}
	p.free = i
}

// clear drops what f holds. The piece that is being sent stays: the loop owns its buffer.
func (p *Pump) clear(f *flow) {
	p.pipes.put(f)
	keep := f.head
	if f.has(sending) && keep != 0 {
		f.head = p.nodes[keep].next
		f.held--
	}
	for f.head != 0 {
		p.loop.Release(p.nodes[f.head].buf)
		p.pop(f)
	}
	if f.has(sending) && keep != 0 {
		p.nodes[keep].next = 0
		f.head, f.tail = keep, keep
		f.held++
	}
}
