package ring

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bigEndian is the byte order of this machine.
var bigEndian = *(*[2]byte)(unsafe.Pointer(&[1]uint16{1})) == [2]byte{0, 1}

// uring is one mapped ring (struct io_uring of liburing). It belongs to one thread from enable on.
//
// Nothing that the kernel may touch after a call returns is Go memory: queues, timespec and addresses are mapped.
type uring struct {
	// constant after openURing
	calls      kernelCalls
	fd         int
	setupFlags uint32
	features   uint32
	ringMem    []byte // both queues
	sqeMem     []byte
	argMem     []byte
	arg        *geteventsArg
	ts         *kernelTimespec

	sqHead    *uint32 // written by the kernel
	sqTail    *uint32
	sqFlags   *uint32 // written by the kernel
	sqes      []sqe
	sqMask    uint32
	sqeTail   uint32 // entries handed out; sqTail follows at submission
	cqHead    *uint32
	cqTail    *uint32 // written by the kernel
	cqes      []cqe
	cqMask    uint32
	cqeHead   uint32 // completions taken; cqHead follows in advance
	enterFD   uintptr
	enterFlag uintptr // ioringEnterRegisteredRing once registered
}

// neededFeatures are older than ioringSetupDeferTaskrun, which the engine cannot do without.
const neededFeatures = ioringFeatSingleMmap | ioringFeatNoDrop | ioringFeatFastPoll | ioringFeatExtArg | ioringFeatCQESkip

// openURing maps a ring with at least the given numbers of entries, and the setup flags in want plus those of nice
// that this kernel knows (tried together, then not at all).
func openURing(calls kernelCalls, sqEntries, cqEntries, want, nice uint32) (*uring, error) {
	p := ringParams{flags: want | nice | ioringSetupCQSize | ioringSetupClamp, cqEntries: cqEntries}
	fd, errno := calls.setup(sqEntries, &p)
	if errno == syscall.EINVAL && nice != 0 {
		p = ringParams{flags: want | ioringSetupCQSize | ioringSetupClamp, cqEntries: cqEntries}
		fd, errno = calls.setup(sqEntries, &p)
	}
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &uring{calls: calls, fd: fd, setupFlags: p.flags, features: p.features, enterFD: uintptr(fd)}
	if r.features&neededFeatures != neededFeatures {
		r.close()
		return nil, fmt.Errorf("io_uring features %#x: %w", r.features, syscall.EINVAL)
	}
	if err := r.mapQueues(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *uring) mapQueues(p *ringParams) (err error) {
	mapFD := func(off int64, size uint32) ([]byte, error) {
		m, err := unix.Mmap(r.fd, off, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return nil, fmt.Errorf("map ring: %w", err)
		}
		return m, nil
	}
	ringSize := max(p.sqOff.array+p.sqEntries*4, p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	if r.ringMem, err = mapFD(ioringOffSQRing, ringSize); err != nil {
		return err
	}
	if r.sqeMem, err = mapFD(ioringOffSQEs, p.sqEntries*uint32(unsafe.Sizeof(sqe{}))); err != nil {
		return err
	}
	if r.argMem, err = mapPrivate(int(unsafe.Sizeof(*r.arg) + unsafe.Sizeof(*r.ts))); err != nil {
		return err
	}

	m := r.ringMem
	r.sqHead, r.sqTail, r.sqFlags = word(m, p.sqOff.head), word(m, p.sqOff.tail), word(m, p.sqOff.flags)
	r.sqMask = *word(m, p.sqOff.ringMask)
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.sqeMem[0])), p.sqEntries)
	if r.setupFlags&ioringSetupNoSQArray == 0 {
		array := unsafe.Slice(word(m, p.sqOff.array), p.sqEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	r.cqHead, r.cqTail = word(m, p.cqOff.head), word(m, p.cqOff.tail)
	r.cqMask = *word(m, p.cqOff.ringMask)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&m[p.cqOff.cqes])), p.cqEntries)

	r.arg = (*geteventsArg)(unsafe.Pointer(&r.argMem[0]))
	r.ts = (*kernelTimespec)(unsafe.Pointer(&r.argMem[unsafe.Sizeof(*r.arg)]))
	return nil
}

// word is the 32-bit word at off of a mapping.
func word(m []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&m[off])) }

// mapPrivate maps zeroed memory of our own.
func mapPrivate(size int) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	return m, nil
}

// close closes the descriptor, then unmaps. All operations must have completed: a pending one could still write.
func (r *uring) close() {
	if r.enterFlag != 0 {
		r.calls.register(r.fd, ioringUnregisterRingFDs, unsafe.Pointer(&ringUpdate{offset: uint32(r.enterFD)}), 1)
	}
	unix.Close(r.fd)
	for _, m := range [][]byte{r.sqeMem, r.ringMem, r.argMem} {
		if m != nil {
			unix.Munmap(m)
		}
	}
	*r = uring{fd: -1}
}

// getSQE hands out the next entry; nil when the queue is full. The caller fills it in whole.
func (r *uring) getSQE() *sqe {
	if r.sqPending() > r.sqMask {
		return nil
	}
	e := &r.sqes[r.sqeTail&r.sqMask]
	r.sqeTail++
	return e
}

// sqPending is the number of entries that the kernel has not taken yet.
func (r *uring) sqPending() uint32 { return r.sqeTail - atomic.LoadUint32(r.sqHead) }

// submit submits what is queued, and works nothing off.
func (r *uring) submit() syscall.Errno {
	atomic.StoreUint32(r.sqTail, r.sqeTail)
	_, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(r.sqPending()), 0, r.enterFlag, 0, 0)
	return errno
}

// submitAndPoll submits what is queued and works off what has completed, without waiting. The Go scheduler is not
// told: a system call that does not block is a fifth cheaper that way, and no P is taken from us.
func (r *uring) submitAndPoll() syscall.Errno {
	atomic.StoreUint32(r.sqTail, r.sqeTail)
	_, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(r.sqPending()), 0,
		ioringEnterGetEvents|r.enterFlag, 0, 0)
	return errno
}

// submitAndWait submits what is queued and waits for one completion, at most d; d < 0 waits for ever. It may return
// early without one (EINTR, ETIME). It must be an ordinary system call: a raw one that blocks stops the garbage
// collector for as long.
func (r *uring) submitAndWait(d time.Duration) syscall.Errno {
	atomic.StoreUint32(r.sqTail, r.sqeTail)
	flags := ioringEnterGetEvents | r.enterFlag
	var arg, size uintptr
	if d >= 0 {
		*r.ts = kernelTimespec{sec: int64(d / time.Second), nsec: int64(d % time.Second)}
		*r.arg = geteventsArg{ts: addressOf(unsafe.Pointer(r.ts))}
		arg, size = uintptr(unsafe.Pointer(r.arg)), unsafe.Sizeof(*r.arg)
		flags |= ioringEnterExtArg
	}
	_, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, r.enterFD, uintptr(r.sqPending()), 1, flags, arg, size)
	return errno
}

// ready is the number of completions in the queue.
func (r *uring) ready() uint32 { return atomic.LoadUint32(r.cqTail) - r.cqeHead }

// next takes a completion; ready must have counted it. It stays valid until advance.
func (r *uring) next() *cqe {
	c := &r.cqes[r.cqeHead&r.cqMask]
	r.cqeHead++
	return c
}

// advance gives the room of the completions taken back to the kernel.
func (r *uring) advance() { atomic.StoreUint32(r.cqHead, r.cqeHead) }

// unsettled tells whether the kernel has more completions than it has put into the queue: for lack of room, or because
// one enter works off no more than 20 (IO_LOCAL_TW_DEFAULT_MAX). The next enter with GETEVENTS goes on.
func (r *uring) unsettled() bool {
	return atomic.LoadUint32(r.sqFlags)&(ioringSQCQOverflow|ioringSQTaskrun) != 0
}
