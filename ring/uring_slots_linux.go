package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
)

const (
	// slotCount datagrams are received in one turn at most. The kernel works off 20 sockets per turn, of each up to 32
	// datagrams; who finds no slot goes on in the next turn. 64 or 256 measure the same.
	slotCount = 128
	// slotStride is from one slot to the next. The odd number of cache lines spreads their beginnings over the cache.
	slotStride = (sock.SlotBytes+4095)&^4095 + 13*64
	// slotGroup is the buffer group of every Receive.
	slotGroup = 1
)

// gramSlots are the kernel's ring of slots for datagrams, see [sock.ReadSlot]. Each has room for the largest datagram or
// train, so none is ever cut; the memory of it is the pages that one has touched. All are handed over once per turn, and
// given back once what was made of them has been sent.
type gramSlots struct {
	ring   *bufRing
	mem    []byte       // nil until the first UDP socket
	header *unix.Msghdr // in mem, behind the slots
	got    []gotGram
	grams  [slotCount]sock.Datagram // those of one socket, while its handler looks at them
}

// gotGram is a datagram that has arrived at a socket: n bytes, head included, in a slot.
type gotGram struct {
	sock Sock
	n    int32
	slot uint16
}

func (g *gramSlots) open(r *uring) (err error) {
	g.ring, err = openBufRing(r, slotCount, slotGroup)
	return err
}

// use maps the slots, if they are not, and lets the kernel have them.
func (g *gramSlots) use() error {
	if g.mem != nil {
		return nil
	}
	m, err := mapPrivate(slotCount*slotStride + int(unsafe.Sizeof(*g.header)))
	if err != nil {
		return err
	}
	g.mem = m
	g.header = (*unix.Msghdr)(unsafe.Pointer(&m[slotCount*slotStride]))
	sock.SlotHeader(g.header)
	g.got = make([]gotGram, 0, slotCount)
	for i := range uint16(slotCount) {
		g.ring.add(g.slot(i), i)
	}
	g.ring.publish()
	return nil
}

func (g *gramSlots) slot(i uint16) []byte {
	at := int(i) * slotStride
	return g.mem[at : at+sock.SlotBytes : at+sock.SlotBytes]
}

// take notes that c brings a datagram of s. There is room: the kernel has no more slots than got has.
func (g *gramSlots) take(s Sock, c *cqe) {
	g.got = append(g.got, gotGram{sock: s, n: c.res, slot: uint16(c.flags >> ioringCQEBufferShift)})
}

// read makes datagrams of what has arrived at one socket. They are valid until the next read.
func (g *gramSlots) read(got []gotGram) []sock.Datagram {
	n := 0
	for _, a := range got {
		if sock.ReadSlot(g.slot(a.slot), int(a.n), &g.grams[n]) {
			n++
		}
	}
	return g.grams[:n]
}

// giveBack lets the kernel have all slots again.
func (g *gramSlots) giveBack() {
	if len(g.got) == 0 {
		return
	}
	for _, a := range g.got {
		g.ring.add(g.slot(a.slot), a.slot)
	}
	g.got = g.got[:0]
	g.ring.publish()
}

// free unmaps. The uring must have been closed before.
func (g *gramSlots) free() {
	if g.ring != nil {
		g.ring.close()
	}
	if g.mem != nil {
		unix.Munmap(g.mem)
	}
	*g = gramSlots{}
}
