package ring

// The part of the io_uring ABI that this package speaks, current to Linux 6.18. Names and meanings are those of
// include/uapi/linux/io_uring.h and liburing, IORING_OP_POLL_ADD being ioringOpPollAdd. A test behind the build tag
// "giouring" compares all of it with an independent port of liburing.

// Flags of io_uring_setup(2).
const (
	ioringSetupCQSize       = 1 << 3  // the caller chooses the size of the completion queue
	ioringSetupClamp        = 1 << 4  // too large sizes become the largest
	ioringSetupRDisabled    = 1 << 6  // start disabled, until IORING_REGISTER_ENABLE_RINGS
	ioringSetupSubmitAll    = 1 << 7  // a bad entry does not end the batch (5.18)
	ioringSetupTaskrunFlag  = 1 << 9  // report work that waits as ioringSQTaskrun (5.19)
	ioringSetupSingleIssuer = 1 << 12 // one thread submits (6.0)
	ioringSetupDeferTaskrun = 1 << 13 // completions are worked off only when asked for (6.1)
	ioringSetupNoSQArray    = 1 << 16 // no indirection between queue and entries (6.6)
)

// Features that io_uring_setup(2) reports.
const (
	ioringFeatSingleMmap = 1 << 0  // one mapping holds both queues
	ioringFeatNoDrop     = 1 << 1  // completions that do not fit are kept
	ioringFeatFastPoll   = 1 << 5  // sockets are polled, not given to worker threads
	ioringFeatExtArg     = 1 << 8  // io_uring_enter takes a timeout
	ioringFeatCQESkip    = 1 << 11 // iosqeCQESkipSuccess works
)

// Flags of io_uring_enter(2).
const (
	ioringEnterGetEvents      = 1 << 0
	ioringEnterExtArg         = 1 << 3
	ioringEnterRegisteredRing = 1 << 4
)

// Operations of io_uring_register(2).
const (
	ioringRegisterRestrictions = 11
	ioringRegisterEnableRings  = 12
	ioringRegisterRingFDs      = 20
	ioringUnregisterRingFDs    = 21
	ioringRegisterPbufRing     = 22
)

// Operations of a submission queue entry.
const (
	ioringOpNop         = 0
	ioringOpPollAdd     = 6
	ioringOpRecvmsg     = 10
	ioringOpAccept      = 13
	ioringOpAsyncCancel = 14
	ioringOpSend        = 26
	ioringOpRecv        = 27
	ioringOpMsgRing     = 40
)

// Flags of a submission queue entry.
const (
	iosqeBufferSelect   = 1 << 5 // the kernel takes a buffer of the group
	iosqeCQESkipSuccess = 1 << 6 // no completion unless it fails
)

// Flags of single operations.
const (
	ioringPollAddMulti    = 1 << 0 // in sqe.len
	ioringRecvsendPoll    = 1 << 0 // in sqe.ioprio: wait before the first try (IORING_RECVSEND_POLL_FIRST)
	ioringRecvMultishot   = 1 << 1 // in sqe.ioprio
	ioringAcceptMultishot = 1 << 0 // in sqe.ioprio
	ioringAsyncCancelAll  = 1 << 0 // all that match, in sqe.opFlags
	ioringAsyncCancelAny  = 1 << 2 // every operation matches, in sqe.opFlags
	ioringMsgData         = 0      // in sqe.addr: pass len and off as result and user data
)

// Flags of a completion queue entry.
const (
	ioringCQEFBuffer       = 1 << 0 // the upper 16 bits are a buffer id
	ioringCQEFMore         = 1 << 1 // the operation goes on
	ioringCQEFSockNonempty = 1 << 2 // there was more in the socket
	ioringCQEBufferShift   = 16
)

// Flags of the submission queue, set by the kernel.
const (
	ioringSQCQOverflow = 1 << 1 // completions wait in the kernel for room in the queue
	ioringSQTaskrun    = 1 << 2 // completions wait for an enter with ioringEnterGetEvents
)

// Offsets for mmap(2) of the ring's descriptor.
const (
	ioringOffSQRing = 0
	ioringOffSQEs   = 0x10000000
)

// Kinds of restriction.
const (
	ioringRestrictionRegisterOp      = 0
	ioringRestrictionSQEOp           = 1
	ioringRestrictionSQEFlagsAllowed = 2
)

// sqe is struct io_uring_sqe. Unions are named after the use that this package makes of them.
type sqe struct {
	opcode      uint8
	flags       uint8
	ioprio      uint16 // flags of accept and recv
	fd          int32
	off         uint64 // user data of msg_ring
	addr        uint64
	len         uint32
	opFlags     uint32 // msg_flags, accept_flags, cancel_flags, poll32_events
	userData    uint64
	bufGroup    uint16
	personality uint16
	optLen      uint32 // recv multishot: bytes after which it ends (6.17)
	addr3       uint64
	_           uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32 // result, or -errno
	flags    uint32
}

// sqRingOffsets is struct io_sqring_offsets.
type sqRingOffsets struct {
	head, tail, ringMask, ringEntries, flags, dropped, array, resv1 uint32
	userAddr                                                        uint64
}

// cqRingOffsets is struct io_cqring_offsets.
type cqRingOffsets struct {
	head, tail, ringMask, ringEntries, overflow, cqes, flags, resv1 uint32
	userAddr                                                        uint64
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries    uint32
	cqEntries    uint32
	flags        uint32
	sqThreadCPU  uint32
	sqThreadIdle uint32
	features     uint32
	wqFD         uint32
	resv         [3]uint32
	sqOff        sqRingOffsets
	cqOff        cqRingOffsets
}

// ringRestriction is struct io_uring_restriction.
type ringRestriction struct {
	kind  uint16 // ioringRestriction…
	value uint8  // an operation, or flags
	_     uint8
	_     [3]uint32
}

// ringBuf is struct io_uring_buf. The last field of the first one in a buffer ring is the ring's tail.
type ringBuf struct {
	addr uint64
	len  uint32
	bid  uint16
	tail uint16
}

// ringBufReg is struct io_uring_buf_reg.
type ringBufReg struct {
	ringAddr    uint64
	ringEntries uint32
	bgid        uint16
	flags       uint16
	_           [3]uint64
}

// ringUpdate is struct io_uring_rsrc_update, the argument of ioringRegisterRingFDs.
type ringUpdate struct {
	offset uint32
	_      uint32
	data   uint64
}

// kernelTimespec is struct __kernel_timespec.
type kernelTimespec struct{ sec, nsec int64 }

// geteventsArg is struct io_uring_getevents_arg.
type geteventsArg struct {
	sigmask   uint64
	sigmaskSz uint32
	_         uint32 // min_wait_usec since 6.12
	ts        uint64 // address of a kernelTimespec
}
