package ring

// pool lends buffers of one size. The last one given back is lent first, so that a loop that relays one piece after
// the other works in one buffer, which stays in the cache of its core. Of the buffers that are not lent it keeps
// keep; the memory of the others goes back to where it came from.
type pool struct {
	size int
	keep int
	// Where memory comes from and goes to; nil: the heap and the garbage collector. fresh never fails.
	fresh func() []byte
	spent func([]byte)

	bufs  []lentBuf // by index; bufs[0] is unused: the zero Buf is none
	ready []uint32  // not lent, with memory, the hottest last
	bare  []uint32  // not lent, without memory
	lent  int
}

type lentBuf struct {
	mem []byte
	buf Buf // the name under which it is lent; 0: not lent
	gen uint8
}

// keepBufs is how many buffers remain of a burst unless an engine says else: 2 MB of 64 KB buffers.
const keepBufs = 32

// The halves of a Buf: an index and, above it, a generation that uncovers the use of a buffer after its release.
const (
	bufBits = 24
	bufMask = 1<<bufBits - 1
)

func (p *pool) alloc() Buf {
	var i uint32
	switch {
	case len(p.ready) > 0:
		i = p.ready[len(p.ready)-1]
		p.ready = p.ready[:len(p.ready)-1]
	case len(p.bare) > 0:
		i = p.bare[len(p.bare)-1]
		p.bare = p.bare[:len(p.bare)-1]
		p.bufs[i].mem = p.memory()
	default:
		if len(p.bufs) == 0 {
			p.bufs = append(p.bufs, lentBuf{})
		}
		i = uint32(len(p.bufs))
		p.bufs = append(p.bufs, lentBuf{mem: p.memory()})
	}
	lb := &p.bufs[i]
	lb.gen++
	lb.buf = Buf(uint32(lb.gen)<<bufBits | i)
	p.lent++
	return lb.buf
}

func (p *pool) memory() []byte {
	if p.fresh != nil {
		return p.fresh()
	}
	return make([]byte, p.size)
}

func (p *pool) bytes(b Buf) []byte {
	return p.get(b).mem
}

func (p *pool) release(b Buf) {
	lb := p.get(b)
	lb.buf = 0
	p.lent--
	i := uint32(b) & bufMask
	if len(p.ready) < p.keep {
		p.ready = append(p.ready, i)
		return
	}
	if p.spent != nil {
		p.spent(lb.mem)
	}
	lb.mem = nil
	p.bare = append(p.bare, i)
}

func (p *pool) get(b Buf) *lentBuf {
	i := uint32(b) & bufMask
	if b == 0 || int(i) >= len(p.bufs) || p.bufs[i].buf != b {
		panic("ring: buffer is not lent")
	}
	return &p.bufs[i]
}
