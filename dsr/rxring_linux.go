package dsr

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringSlots is how many frames the ring has room for: 20 ms at 400,000 a second.
const ringSlots = 8192

// ringSlotBytes is the room for one frame of Ethernet's usual size with two tags, struct tpacket2_hdr and vnetLen before
// it. 13 pages are 32 of them (or 128, where pages are larger), without a gap; and neighbours begin in different lines
// of a cache.
const (
	ringSlotBytes  = 1664
	ringBlockPages = 13
)

// rxRing is memory shared with the kernel, which puts frames into its slots one after the other and around again
// (PACKET_RX_RING of TPACKET_V2; Documentation/networking/packet_mmap.rst). Of a frame that is too long for a slot, as
// one is that its sender left to the network card to cut, the slot says that it waits in the queue of the socket.
//
// Beside recvmmsg(2) it saves a fifth of the processor time of a small frame. TPACKET_V3, which packs frames of all
// lengths, tells of a frame only when a block is full or a timer ends. A ring to send from gains nothing where the
// receiver is on the same machine: the kernel has to copy what it lends then (skb_orphan_frags).
type rxRing struct {
	fd     int    // belongs to the worker
	memory []byte // nil: the last attempt to open it has failed
	next   int    // slot
}

// openRing gives the socket its ring. It waits until the kernel's readers have finished (synchronize_net), which takes
// some 10 ms and, where processors are busy in the kernel, far more.
func openRing(fd int) (*rxRing, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return nil, os.NewSyscallError("PACKET_VERSION", err)
	}
	// What does not fit is queued as a whole.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, ringSlotBytes); err != nil {
		return nil, os.NewSyscallError("PACKET_COPY_THRESH", err)
	}
	r := &rxRing{fd: fd}
	return r, r.open()
}

func (r *rxRing) open() error {
	block := ringBlockPages * os.Getpagesize()
	err := r.request(unix.TpacketReq{Block_size: uint32(block), Block_nr: ringSlots * ringSlotBytes / uint32(block),
		Frame_size: ringSlotBytes, Frame_nr: ringSlots})
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(r.fd, 0, ringSlots*ringSlotBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("ring of frames: %w", os.NewSyscallError("mmap", err))
	}
	r.memory, r.next = memory, 0
	return nil
}

func (r *rxRing) request(req unix.TpacketReq) error {
	return os.NewSyscallError("PACKET_RX_RING", unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req))
}

// reopen makes a new ring in the place of this one; the socket stays bound, in its fanout and with its filter. Frames that
// are in the old one, and those that come meanwhile, are lost. After an error nothing but another reopen may be called.
func (r *rxRing) reopen() error {
	if err := r.close(); err != nil {
		return err
	}
	if err := r.request(unix.TpacketReq{}); err != nil {
		return err
	}
	return r.open()
}

// close gives the memory up; what the kernel has of it goes with the socket.
func (r *rxRing) close() error {
	memory := r.memory
	if r.memory = nil; memory == nil {
		return nil
	}
	return os.NewSyscallError("munmap", unix.Munmap(memory))
}

// ready is how many of the next slots have frames; at most most.
func (r *rxRing) ready(most int) (n int) {
	for n < most && atomic.LoadUint32(&r.header(n).Status)&unix.TP_STATUS_USER != 0 {
		n++
	}
	return n
}

// queued reports whether the frame of the i-th of the slots that are ready waits in the queue of the socket.
func (r *rxRing) queued(i int) bool { return r.header(i).Status&unix.TP_STATUS_COPY != 0 }

// frame is the frame of the i-th slot behind its vnetLen, with the rest of the slot as its capacity. cut reports that its
// end is missing: of one that is not queued, because the queue had no room.
func (r *rxRing) frame(i int) (b []byte, cut bool) {
	h := r.header(i)
	at := int(h.Mac)
	return r.slot(i)[at-vnetLen : at+int(h.Snaplen)], h.Snaplen < h.Len
}

// release gives the first n slots back to the kernel.
func (r *rxRing) release(n int) {
	for i := range n {
		atomic.StoreUint32(&r.header(i).Status, unix.TP_STATUS_KERNEL)
	}
	r.next = (r.next + n) % ringSlots
}

func (r *rxRing) slot(i int) []byte {
	at := (r.next + i) % ringSlots * ringSlotBytes
	return r.memory[at : at+ringSlotBytes : at+ringSlotBytes]
}

// header is valid until the kernel has its slot back; its Status changes only then, or once to TP_STATUS_USER.
func (r *rxRing) header(i int) *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(unsafe.SliceData(r.slot(i))))
}
