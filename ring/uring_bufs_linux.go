package ring

import "golang.org/x/sys/unix"

const (
	// ringBufs buffers at most wait in the kernel for data, and ringBytes in all. They take turns, so more than that
	// would be in no cache when their turn comes.
	ringBufs  = 256
	ringBytes = 4 << 20
	// uringBufSize is what one receive takes at most. A flow that fills it is better spliced.
	uringBufSize = 16 << 10
	// recvShare buffers full are what one socket takes per turn, so that a caller who cancels is heard before a fast
	// sender has filled dozens.
	recvShare = 4
	// bufGroup is the buffer group of every Recv.
	bufGroup = 0
)

// lending keeps the kernel's ring of buffers full from the pool, and the pool in mapped memory.
//
// A buffer that carries data leaves the ring and belongs to whoever holds it; another from the pool takes its place
// before the next turn. So the pool grows with what is held, and a relay whose reader has stopped takes nothing away
// from the others: how much one may hold is the business of the caller, who cancels, and recvShare what it may exceed
// that by. (Before Linux 6.17 the kernel takes what is in the socket, 32 buffers at a time.) Only if memory cannot be
// mapped does the ring run dry; then each Recv that finds it so waits for a Release.
type lending struct {
	pool  *pool
	arena arena
	byID  [ringBufs]Buf // in the ring under an id; 0: the id is in holes
	holes []uint16
	most  int // buffers in the ring, with all holes filled
}

func (l *lending) init(p *pool, size int) {
	l.pool = p
	l.arena = arena{size: size, mmap: mapPrivate}
	l.most = min(ringBufs, max(1, ringBytes/size))
	p.fresh, p.spent, p.keep = l.arena.take, l.arena.give, l.most
	l.holes = make([]uint16, l.most)
	for i := range l.holes {
		l.holes[i] = uint16(i)
	}
}

// inRing is the number of buffers in the kernel's hands.
func (l *lending) inRing() int { return l.most - len(l.holes) }

// take is the buffer that the kernel has filled under the id bid.
func (l *lending) take(bid uint16) Buf {
	b := l.byID[bid]
	l.byID[bid] = 0
	l.holes = append(l.holes, bid)
	return b
}

// fill puts buffers into r where some are missing, as far as there is memory.
func (l *lending) fill(r *bufRing) {
	if len(l.holes) == 0 {
		return
	}
	for len(l.holes) > 0 && (len(l.pool.ready) > 0 || l.arena.reserve()) {
		bid := l.holes[len(l.holes)-1]
		l.holes = l.holes[:len(l.holes)-1]
		b := l.pool.alloc()
		l.byID[bid] = b
		r.add(l.pool.bytes(b), bid)
	}
	r.publish()
}

func (l *lending) free() { l.arena.free() }

// feed fills the buffer ring and lets as many of the waiting receivers go on as there are buffers, first come first
// served. They are those that had their share, unless they have been cancelled meanwhile, and those that found no buffer.
func (u *uringLoop) feed() {
	u.lending.fill(u.feedRing)
	if len(u.waiting) == 0 {
		return
	}
	n := min(len(u.waiting), u.lending.inRing())
	for _, s := range u.waiting[:n] {
		if so := u.socks.get(s); so != nil && so.flags&isWaiting != 0 {
			so.flags &^= isWaiting
			u.launch(so, OpRecv)
		}
	}
	u.waiting = append(u.waiting[:0], u.waiting[n:]...)
}

// arena carves buffers from mapped chunks. Given back, a buffer keeps its addresses and loses its pages.
type arena struct {
	size   int // of a buffer
	chunks [][]byte
	spare  [][]byte
	mmap   func(size int) ([]byte, error)
}

// chunkBufs buffers are mapped at once: 1 MB of 16 KB ones.
const chunkBufs = 64

// reserve makes sure that take will find a buffer.
func (a *arena) reserve() bool {
	if len(a.spare) > 0 {
		return true
	}
	m, err := a.mmap(chunkBufs * a.size)
	if err != nil {
		return false
	}
	a.chunks = append(a.chunks, m)
	for ; len(m) > 0; m = m[a.size:] {
		a.spare = append(a.spare, m[:a.size:a.size])
	}
	return true
}

// take yields a buffer. Without memory it panics, as the Go runtime does.
func (a *arena) take() []byte {
	if !a.reserve() {
		panic("ring: out of memory")
	}
	m := a.spare[len(a.spare)-1]
	a.spare = a.spare[:len(a.spare)-1]
	return m
}

func (a *arena) give(m []byte) {
	unix.Madvise(m, unix.MADV_DONTNEED)
	a.spare = append(a.spare, m)
}

func (a *arena) free() {
	for _, m := range a.chunks {
		unix.Munmap(m)
	}
	a.chunks, a.spare = nil, nil
}
