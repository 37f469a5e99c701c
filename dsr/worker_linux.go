package dsr

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxFrame is the longest frame that is forwarded: a segment that the sender left to the network card to cut, 64 KB,
// with its headers.
const MaxFrame = 65536 + 64

// slotBytes is the room for one frame and its vnetLen.
const slotBytes = 65536 + 4096

// sendWait is how long a frame may wait for room in the queue of the interface.
const sendWait = 100 * time.Millisecond

// napFor is how long a thread sleeps, without being woken, where two frames or more may be expected meanwhile. To be
// woken costs more than to forward a frame; this bounds how often that happens, as network cards do with their
// interrupts, and to the same degree.
const napFor = 50 * time.Microsecond

// worker is a thread with its socket.
type worker struct {
	// constant
	fd     int
	rcvbuf int
	link   *wired
	engine *Engine

	// of the thread
	fwd   *Forwarder
	ring  *rxRing
	room  []byte // for frames that are too long for the ring: a slot for each of in
	in    []mmsghdr
	inIO  []unix.Iovec
	out   []mmsghdr
	outIO []unix.Iovec
	sends int   // messages in out
	took  int64 // frames since the last rest
	since int64 // when that began
	wraps *wraps
	seen  quiet

	drops atomic.Uint64 // frames that the socket had no room for
}

// newWorker makes a worker without its ring.
func newWorker(l *wired, e *Engine, f *Forwarder, batch int) (*worker, error) {
	fd, rcvbuf, err := receiver(l.index)
	if err != nil {
		return nil, err
	}
	batch = min(max(batch, 1), MaxBatch)
	k := &worker{fd: fd, rcvbuf: rcvbuf, link: l, engine: e, fwd: f,
		room: make([]byte, batch*slotBytes),
		in:   make([]mmsghdr, batch), inIO: make([]unix.Iovec, batch),
		out: make([]mmsghdr, batch), outIO: make([]unix.Iovec, batch), wraps: newWraps()}
	for i := range batch {
		k.inIO[i].Base = &k.room[i*slotBytes]
		k.inIO[i].SetLen(vnetLen + MaxFrame)
		k.in[i].Iov, k.out[i].Iov = &k.inIO[i], &k.outIO[i]
		k.in[i].SetIovlen(1)
		k.out[i].SetIovlen(1)
	}
	return k, nil
}

// run implements nic.
func (w *wired) run() error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.workers))
	for i, k := range w.workers {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if errs[i] = k.run(); errs[i] != nil {
				w.stop() // one that ends ends all
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// run takes frames until the link is stopped.
func (k *worker) run() error {
	// The nap shall not be twice as long; see prctl(2).
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(time.Microsecond), 0, 0, 0)
	poll := []unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}, {Fd: int32(k.link.wake), Events: unix.POLLIN}}
	for !k.link.stopping.Load() {
		if n := k.ring.ready(len(k.out)); n > 0 {
			if err := k.turn(n); err != nil {
				return err
			}
			k.took += int64(n)
			continue
		}
		if k.nap() {
			continue
		}
		n, err := unix.Poll(poll, int(stallAfter.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if n == 0 && k.stalled() {
			k.reopen()
			continue
		}
		if poll[0].Revents&unix.POLLERR != 0 {
			if err := k.trouble(); err != nil {
				return err
			}
		}
	}
	return nil
}

// nap sleeps for napFor if the frames come that fast; else it returns false.
func (k *worker) nap() bool {
	now := k.engine.now()
	fast := now-k.since < k.took*int64(napFor)/2
	k.since, k.took = now, 0
	if fast {
		d := unix.NsecToTimespec(int64(napFor))
		// Raw: it is over before the scheduler would have noticed.
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&d)), 0, 0)
	}
	return fast
}

// trouble returns what has happened to the socket, if it will not work again.
func (k *worker) trouble() error {
	n, err := unix.GetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch errno := unix.Errno(n); {
	case err != nil:
		return os.NewSyscallError("SO_ERROR", err)
	case errno == unix.ENETDOWN: // the socket works again when the interface does
		k.engine.opts.Logf("dsr: interface %s is down", k.link.name)
	case errno != 0:
		return fmt.Errorf("receive on %s: %w", k.link.name, errno)
	}
	return nil
}

// turn treats the frames of the first n slots of the ring.
func (k *worker) turn(n int) error {
	if err := k.dequeue(n); err != nil {
		return err
	}
	now := k.engine.now()
	t := k.engine.tables.Load()
	long := 0
	for i := range n {
		b, cut := k.ring.frame(i)
		if k.ring.queued(i) {
			m := &k.in[long]
			b, cut = k.room[long*slotBytes:][:m.n:slotBytes], m.Flags&unix.MSG_TRUNC != 0
			long++
			if cut {
				k.fwd.counts.verdicts[DropSize].Add(1)
				continue
			}
		}
		if cut {
			k.link.losses.Add(1)
			continue
		}
		left := offloadOf(b)
		v, frame := k.fwd.Process(t, b[vnetLen:], left.segment, now)
		switch v {
		case Answered:
			clear(b[:vnetLen]) // nothing is left to the network card
		case Heard:
			k.engine.tell(k.fwd.heard)
		}
		if o := k.fwd.offender; o != (offence{}) {
			k.engine.opts.Logf("tarpit: %v connects to %v port %d", o.source, o.target, o.port)
			k.fwd.offender = offence{}
		}
		switch {
		case frame == nil:
		case len(k.fwd.tunnel.head) > 0:
			k.wrap(frame, left)
		default:
			io := &k.outIO[k.sends]
			io.Base = &b[0]
			io.SetLen(vnetLen + len(frame))
			k.sends++
		}
	}
	k.transmit(k.out[:k.sends])
	k.sends = 0
	k.transmitWraps()
	k.ring.release(n)
	return nil
}

// dequeue reads those frames of the first n slots that are too long for them into room, in their order.
func (k *worker) dequeue(n int) error {
	long := 0
	for i := range n {
		if k.ring.queued(i) {
			long++
		}
	}
	for got := 0; got < long; {
		n, err := mmsg(unix.SYS_RECVMMSG, k.fd, k.in[got:long], unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("receive on %s: %w", k.link.name, os.NewSyscallError("recvmmsg", err))
		}
		got += n
	}
	return nil
}

// transmit sends frames. One that the interface does not take is dropped; those behind it have their chance.
func (k *worker) transmit(frames []mmsghdr) {
	for at := 0; at < len(frames); {
		n, err := mmsg(unix.SYS_SENDMMSG, k.fd, frames[at:], 0)
		switch {
		case err == nil:
			at += n
		case errors.Is(err, unix.EINTR):
		default:
			k.fwd.counts.verdicts[DropSend].Add(1)
			at++
		}
	}
}
