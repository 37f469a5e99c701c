package ring

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufRing is a ring of buffers from which the kernel takes one whenever data arrives (struct io_uring_buf_ring). It is
// filled by add and publish, and never unregistered: it goes with its uring.
type bufRing struct {
	mem     []byte
	bufs    []ringBuf
	tailBid *uint32 // the words bid and tail of bufs[0]
	tail    uint16  // entries added; published by publish
}

// openBufRing registers an empty ring of entries (a power of two, at most 32768) as buffer group bgid of r.
func openBufRing(r *uring, entries int, bgid uint16) (*bufRing, error) {
	mem, err := mapPrivate(entries * int(unsafe.Sizeof(ringBuf{})))
	if err != nil {
		return nil, err
	}
	reg := ringBufReg{ringAddr: addressOf(unsafe.Pointer(&mem[0])), ringEntries: uint32(entries), bgid: bgid}
	if _, errno := r.calls.register(r.fd, ioringRegisterPbufRing, unsafe.Pointer(&reg), 1); errno != 0 {
		unix.Munmap(mem)
		return nil, fmt.Errorf("io_uring buffer ring: %w", errno)
	}
	b := &bufRing{mem: mem, bufs: unsafe.Slice((*ringBuf)(unsafe.Pointer(&mem[0])), entries)}
	b.tailBid = word(mem, uint32(unsafe.Offsetof(ringBuf{}.bid)))
	return b, nil
}

// close unmaps. The uring must have been closed before.
func (b *bufRing) close() {
	unix.Munmap(b.mem)
	*b = bufRing{}
}

// add puts the mapped memory m into the ring under the id bid. The kernel sees it after publish. The caller keeps
// the number of buffers in the ring at or below its size.
func (b *bufRing) add(m []byte, bid uint16) {
	e := &b.bufs[int(b.tail)&(len(b.bufs)-1)]
	e.addr, e.len, e.bid = addressOf(unsafe.Pointer(unsafe.SliceData(m))), uint32(len(m)), bid
	b.tail++
}

// publish hands all added buffers to the kernel. Go has no atomic store of 16 bits, so tail is stored together with
// its neighbour, the id of the first entry, which only we write.
func (b *bufRing) publish() {
	atomic.StoreUint32(b.tailBid, packTail(bigEndian, b.bufs[0].bid, b.tail))
}

// packTail joins the neighbours bid (lower address) and tail (higher address) to the word that holds both.
func packTail(big bool, bid, tail uint16) uint32 {
	if big {
		return uint32(bid)<<16 | uint32(tail)
	}
	return uint32(tail)<<16 | uint32(bid)
}
