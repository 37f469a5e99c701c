package ring

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/sock"
)

// uringLoop is the engine on io_uring(7). One ring, one thread, one system call per turn: it submits what the verbs
// have queued and works off what has completed.
//
//	verb ─► order ─► submission queue ─┐                        ┌─► core.queue ─► handler
//	          └► backlog, when full    └► io_uring_enter ─► CQE ┘
//
// Accept, Recv and Receive are multishot. Data lands in buffers that the kernel takes from a ring of them
// (uring_bufs_linux.go), datagrams in those of another (uring_slots_linux.go).
// Operations that io_uring gives to worker threads are not used: SHUTDOWN and SPLICE are, measured, always. Connecting
// is connect(2), which does not block, and a poll.
//
// Kernel: 6.1 for IORING_SETUP_DEFER_TASKRUN, without which it would be no faster than epoll.
type uringLoop struct {
	core

	// constant after newURing
	ring     *uring
	feedRing *bufRing // nil until opened
	wakeFD   int      // eventfd; a multishot poll of it is always armed
	share    uint32   // bytes that a Recv takes before it waits for the next turn; 0: the kernel cannot limit it
	features []string
	look     func() bool // whether there is something to reap

	// loop only
	bound   bool    // the ring is enabled and ours
	halting bool    // Run is ending: completions are only counted
	flight  int     // operations in the kernel or on their way there
	backlog []order // for which the submission queue had no room, in order
	lending lending
	waiting []Sock // whose Recv goes on in the next turn; see feed
	slots   gramSlots
	ended   []Sock // whose Receive the kernel has ended; see resume
	gramOf  []Sock // UDP sockets by descriptor, also closed ones
	// doubtful are sockets of which the kernel has said last that there is more to receive; see nudge
	doubtful []Sock
}

// Setup flags: what the engine needs, and what it takes where there is.
const (
	uringSetupWant = ioringSetupRDisabled | ioringSetupSingleIssuer | ioringSetupDeferTaskrun |
		ioringSetupTaskrunFlag | ioringSetupSubmitAll
	uringSetupNice = ioringSetupNoSQArray
)

// The queues. A full submission queue is submitted at once; completions that do not fit wait in the kernel.
const (
	uringSQEntries = 1024
	uringCQEntries = 4096
)

// newURing makes a loop on io_uring. The error tells an operator why it cannot be had. The kernel accepts what there is:
// Options.MultiAccept has no meaning.
func newURing(o Options) (Loop, error) {
	u, err := openURingLoop(theKernel(), o)
	if err != nil {
		return nil, err
	}
	return u, nil
}

func openURingLoop(k kernelCalls, o Options) (*uringLoop, error) {
	can, err := probeURing(k)
	if err != nil {
		return nil, err
	}
	size := o.BufSize
	if size <= 0 {
		size = uringBufSize
	}
	u := &uringLoop{features: can.words(), wakeFD: -1}
	if can.limit {
		u.share = uint32(recvShare * size)
	}
	u.init(size, u.rouseRing)
	u.look = func() bool { return u.ring.ready() > 0 || u.ring.unsettled() }
	u.lending.init(&u.bufs, size)
	if err := u.openKernel(k); err != nil {
		u.free()
		return nil, uringReason(err)
	}
	u.arm(orderWake)
	return u, nil
}

// openKernel opens what has to be closed. The ring stays disabled until Run binds it to a thread.
func (u *uringLoop) openKernel(k kernelCalls) (err error) {
	if u.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if u.ring, err = openURing(k, uringSQEntries, uringCQEntries, uringSetupWant, uringSetupNice); err != nil {
		return err
	}
	if u.feedRing, err = openBufRing(u.ring, ringBufs, bufGroup); err != nil {
		return err
	}
	if err := u.slots.open(u.ring); err != nil {
		return err
	}
	return u.ring.restrict(uringOps, uringSQEFlags, uringRegisterOps)
}

// rouseRing is core.wake.
func (u *uringLoop) rouseRing() { signal(u.wakeFD) }

// Engine implements Loop.
func (u *uringLoop) Engine() string { return "uring" }

// Features implements Loop.
func (u *uringLoop) Features() []string { return u.features }

// Stats implements Loop. Buffers in the kernel's hands are not lent.
func (u *uringLoop) Stats() Stats {
	s := u.core.Stats()
	s.Bufs -= u.lending.inRing()
	return s
}

// Run implements Loop.
func (u *uringLoop) Run() error {
	if err := u.start(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // nothing is bound to the thread any more then
	err := u.ring.enable()
	if err == nil {
		u.bound = true
		u.ring.registerRingFD()
		err = u.turn()
	}
	u.Stop() // after an error: refuse posts
	u.drain()
	u.halt()
	return err
}

// postTurns bounds how long posts wait for completions that were ready before them: 20,000 completions.
const postTurns = 1000

// turn is the loop.
func (u *uringLoop) turn() error {
	var posts []func()
	waited := 0
	for !u.stopping() {
		if posts == nil {
			posts, waited = u.takePosts(), 0
		}
		u.feed()
		u.catchUp()
		if err := u.wait(len(posts) > 0); err != nil {
			return err
		}
		u.tick()
		u.reap()
		u.nudge()
		u.handOver()
		u.expire()
		for n := u.queue.len(); n > 0; n -= dispatchMax {
			u.dispatch()
		}
		if waited++; waited == postTurns || !u.ring.unsettled() { // else some of what was ready is still to come
			u.runPosts(posts)
			posts = nil
		}
	}
	u.runPosts(posts)
	return nil
}

// wait enters the kernel: first without waiting, as most turns of a busy loop need no more, then waiting if there is
// nothing to do at all.
func (u *uringLoop) wait(busy bool) error {
	u.turns++
	var errno syscall.Errno
	if busy || u.ring.sqPending() > 0 || u.ring.unsettled() {
		errno = u.ring.submitAndPoll()
	}
	if u.ring.ready() > 0 || busy || u.busy() || len(u.backlog) > 0 {
		return enterError(errno)
	}
	d := u.waitTime()
	if d != 0 && u.spin(d, u.look) {
		errno = u.ring.submitAndPoll()
		d = 0
	}
	if d == 0 || !u.sleep() {
		return enterError(errno)
	}
	errno = u.ring.submitAndWait(d)
	u.awake()
	return enterError(errno)
}

// enterError is nil for what passes: interruption, time out, and memory or room that is short for the moment.
func enterError(errno syscall.Errno) error {
	switch errno {
	case 0, syscall.EINTR, syscall.ETIME:
		return nil
	case syscall.EAGAIN, syscall.EBUSY, syscall.ENOMEM:
		time.Sleep(time.Millisecond) // without it we would ask again at once
		return nil
	}
	return fmt.Errorf("io_uring_enter: %w", errno)
}

// reap takes what is in the completion queue.
func (u *uringLoop) reap() {
	for n := u.ring.ready(); n > 0; n-- {
		u.complete(u.ring.next())
	}
	u.ring.advance()
}

// haltMax bounds the wait for the kernel to let go. Nothing that the engine submits takes long to cancel.
const haltMax = 10 * time.Second

// halt cancels all, waits until the kernel holds neither descriptors nor memory of ours, and frees everything. It
// orders a cancel for each operation, which the kernel finds by hash: to cancel any it looks at all of them for each,
// which takes 10 s for 13,000. That is for what is left.
func (u *uringLoop) halt() {
	u.halting = true
	for _, o := range u.backlog {
		if !o.isCancel() {
			u.flight--
		}
	}
	u.backlog = nil
	if u.bound {
		u.socks.each(u.recallAll)
	}
	before := -1
	for end := clock() + int64(haltMax); u.bound && u.flight > 0 && clock() < end; {
		if u.flight == before {
			if e := u.ring.getSQE(); e != nil {
				e.prepCancelAny(uint64(orderCancelAny))
			}
		}
		before = u.flight
		if err := enterError(u.ring.submitAndWait(10 * time.Millisecond)); err != nil {
			break
		}
		u.reap()
	}
	u.socks.each(func(so *socket) {
		if !so.listener && so.fd >= 0 {
			sock.Close(int(so.fd))
		}
	})
	u.retire()
	u.free()
}

// free gives back what the loop owns. Memory into which the kernel might still write is rather lost.
func (u *uringLoop) free() {
	if u.wakeFD >= 0 {
		unix.Close(u.wakeFD)
	}
	if u.ring == nil {
		return
	}
	if u.bound && u.flight > 0 {
		unix.Close(u.ring.fd)
		return
	}
	u.ring.close()
	if u.feedRing != nil {
		u.feedRing.close()
	}
	u.lending.free()
	u.slots.free()
	u.bufs = pool{size: u.bufs.size} // a buffer still held is not mapped any more
}
