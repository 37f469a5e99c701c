package ring

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The functions here fill a submission queue entry, each in whole: an entry still holds what it was used for before.

// prepNop does nothing and completes.
func (e *sqe) prepNop(userData uint64) {
	*e = sqe{opcode: ioringOpNop, fd: -1, userData: userData}
}

// prepPollAdd completes once one of events (POLLIN…) is there or has come; with multi, every time it comes anew.
func (e *sqe) prepPollAdd(fd int, events uint32, multi bool, userData uint64) {
	*e = sqe{opcode: ioringOpPollAdd, fd: int32(fd), opFlags: pollEvents(bigEndian, events), userData: userData}
	if multi {
		e.len = ioringPollAddMulti
	}
}

// prepMultishotAccept accepts connections, non-blocking and close-on-exec, until an error.
func (e *sqe) prepMultishotAccept(fd int, userData uint64) {
	*e = sqe{
		opcode: ioringOpAccept, ioprio: ioringAcceptMultishot, fd: int32(fd),
		opFlags: unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC, userData: userData,
	}
}

// prepMultishotRecv receives into buffers of the group until end of stream, an error or lack of buffers, or until it
// has received limit bytes; 0 is no limit. Before Linux 6.17 any other gives EINVAL.
func (e *sqe) prepMultishotRecv(fd int, bufGroup uint16, limit uint32, userData uint64) {
	*e = sqe{
		opcode: ioringOpRecv, flags: iosqeBufferSelect, ioprio: ioringRecvMultishot, fd: int32(fd),
		userData: userData, bufGroup: bufGroup, optLen: limit,
	}
}

// prepMultishotRecvmsg receives datagrams into buffers of the group, each laid out as h says, which must be mapped memory
// like them, until an error or lack of buffers. It waits before the first try.
func (e *sqe) prepMultishotRecvmsg(fd int, bufGroup uint16, h *unix.Msghdr, userData uint64) {
	*e = sqe{
		opcode: ioringOpRecvmsg, flags: iosqeBufferSelect, ioprio: ioringRecvMultishot | ioringRecvsendPoll, fd: int32(fd),
		addr: addressOf(unsafe.Pointer(h)), len: 1, userData: userData, bufGroup: bufGroup,
	}
}

// prepSend sends b, which must not be Go memory that moves: the kernel reads it until the completion.
func (e *sqe) prepSend(fd int, b []byte, msgFlags uint32, userData uint64) {
	*e = sqe{
		opcode: ioringOpSend, fd: int32(fd), addr: addressOf(unsafe.Pointer(unsafe.SliceData(b))), len: uint32(len(b)),
		opFlags: msgFlags, userData: userData,
	}
}

// prepCancel cancels the operation whose user data is target. It completes only if it fails: ENOENT or EALREADY.
func (e *sqe) prepCancel(target, userData uint64) {
	*e = sqe{opcode: ioringOpAsyncCancel, flags: iosqeCQESkipSuccess, fd: -1, addr: target, userData: userData}
}

// prepCancelAny cancels every operation of the ring. The result is their number.
func (e *sqe) prepCancelAny(userData uint64) {
	*e = sqe{opcode: ioringOpAsyncCancel, fd: -1, opFlags: ioringAsyncCancelAll | ioringAsyncCancelAny, userData: userData}
}

// prepMsgRing puts a completion {data, res} into the completion queue of the ring ringFD.
func (e *sqe) prepMsgRing(ringFD int, res uint32, data, userData uint64) {
	*e = sqe{opcode: ioringOpMsgRing, fd: int32(ringFD), off: data, addr: ioringMsgData, len: res, userData: userData}
}

// addressOf is p as the kernel wants it. p must point to memory outside of the Go heap and stacks.
func addressOf(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

// pollEvents orders the two halves of poll32_events, which was born with 16 bits.
func pollEvents(big bool, events uint32) uint32 {
	if big {
		return events<<16 | events>>16
	}
	return events
}
