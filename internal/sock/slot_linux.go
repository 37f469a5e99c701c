package sock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A slot is memory for one datagram, or one train, that io_uring receives (IORING_OP_RECVMSG, multishot):
//
//	struct io_uring_recvmsg_out │ address of the sender │ control messages │ data
//
// SlotHead is what comes before the data, SlotBytes the whole, so that no datagram is ever cut.
const (
	SlotHead  = slotControl + slotControlBytes
	SlotBytes = SlotHead + MaxDatagram

	slotName         = 16 // size of struct io_uring_recvmsg_out
	slotNameBytes    = 32 // a sockaddr_in6 and, as the rest has to be aligned, some more
	slotControl      = slotName + slotNameBytes
	slotControlBytes = 80 // an address that was written to (40) and the size of segments (24), on any system
)

// slotOut is struct io_uring_recvmsg_out.
type slotOut struct {
	nameLen, controlLen, payloadLen, flags uint32
}

// SlotHeader makes h tell the kernel how slots are laid out.
func SlotHeader(h *unix.Msghdr) {
	*h = unix.Msghdr{Namelen: slotNameBytes}
	h.SetControllen(slotControlBytes)
}

// ReadSlot takes the datagram that the kernel has put into slot, which holds n bytes with the head. It reports false
// for what cannot be: less than a head.
func ReadSlot(slot []byte, n int, d *Datagram) bool {
	if n < SlotHead || n > len(slot) {
		return false
	}
	p := unsafe.Pointer(unsafe.SliceData(slot))
	out := (*slotOut)(p)
	*d = Datagram{Data: slot[SlotHead:n], Remote: endpointAt(unsafe.Add(p, slotName))}
	readControl(unsafe.Add(p, slotControl), uintptr(min(out.controlLen, slotControlBytes)), d)
	return true
}
