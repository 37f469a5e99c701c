package ring

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newTestURing opens a small ring like the engine's, enabled and bound to the test's thread.
func newTestURing(t *testing.T, sqEntries, cqEntries uint32) *uring {
	t.Helper()
	runtime.LockOSThread()
	r, err := openURing(theKernel(), sqEntries, cqEntries, uringSetupWant, uringSetupNice)
	if err != nil {
		runtime.UnlockOSThread()
		t.Skipf("no io_uring here: %v", err)
	}
	t.Cleanup(func() {
		r.close()
		runtime.UnlockOSThread()
	})
	return r
}

func mustEnable(t *testing.T, r *uring) {
	t.Helper()
	if err := r.enable(); err != nil {
		t.Fatal(err)
	}
}

// await submits and returns copies of the next n completions.
func await(t *testing.T, r *uring, n int) []cqe {
	t.Helper()
	var got []cqe
	deadline := time.Now().Add(5 * time.Second)
	for len(got) < n {
		if errno := r.submitAndWait(time.Second); errno != 0 && errno != syscall.ETIME && errno != syscall.EINTR {
			t.Fatalf("enter: %v", errno)
		}
		for k := r.ready(); k > 0; k-- {
			got = append(got, *r.next())
		}
		r.advance()
		if time.Now().After(deadline) {
			t.Fatalf("%d completions, want %d", len(got), n)
		}
	}
	return got
}

func mustSQE(t *testing.T, r *uring) *sqe {
	t.Helper()
	e := r.getSQE()
	if e == nil {
		t.Fatal("submission queue is full")
	}
	return e
}

func TestSizesOfTheABI(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"io_uring_sqe", unsafe.Sizeof(sqe{}), 64},
		{"io_uring_sqe.user_data", unsafe.Offsetof(sqe{}.userData), 32},
		{"io_uring_sqe.optlen", unsafe.Offsetof(sqe{}.optLen), 44},
		{"io_uring_cqe", unsafe.Sizeof(cqe{}), 16},
		{"io_uring_params", unsafe.Sizeof(ringParams{}), 120},
		{"io_uring_restriction", unsafe.Sizeof(ringRestriction{}), 16},
		{"io_uring_buf", unsafe.Sizeof(ringBuf{}), 16},
		{"io_uring_buf_ring.tail", unsafe.Offsetof(ringBuf{}.tail), 14},
		{"io_uring_buf_reg", unsafe.Sizeof(ringBufReg{}), 40},
		{"io_uring_rsrc_update", unsafe.Sizeof(ringUpdate{}), 16},
		{"io_uring_getevents_arg", unsafe.Sizeof(geteventsArg{}), 24},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}

func TestPackTailBothByteOrders(t *testing.T) {
	for _, tt := range []struct {
		big       bool
		bid, tail uint16
		want      [4]byte // in memory
	}{
		{false, 0x1122, 0x3344, [4]byte{0x22, 0x11, 0x44, 0x33}},
		{true, 0x1122, 0x3344, [4]byte{0x11, 0x22, 0x33, 0x44}},
		{false, 0xffff, 0, [4]byte{0xff, 0xff, 0, 0}},
		{true, 0, 0xffff, [4]byte{0, 0, 0xff, 0xff}},
	} {
		v := packTail(tt.big, tt.bid, tt.tail)
		got := [4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}
		if tt.big {
			got = [4]byte{got[3], got[2], got[1], got[0]}
		}
		if got != tt.want {
			t.Errorf("packTail(%v, %#x, %#x) lies in memory as % x, want % x", tt.big, tt.bid, tt.tail, got, tt.want)
		}
	}
}

func TestPollEventsBothByteOrders(t *testing.T) {
	if got := pollEvents(false, 0x2001); got != 0x2001 {
		t.Errorf("little-endian: %#x", got)
	}
	if got := pollEvents(true, 0x2001); got != 0x20010000 {
		t.Errorf("big-endian: %#x", got)
	}
}

func TestURingNop(t *testing.T) {
	r := newTestURing(t, 8, 16)
	e := mustSQE(t, r)
	e.prepNop(1)
	mustEnable(t, r)
	if !r.registerRingFD() {
		t.Error("the ring's descriptor cannot be registered")
	}
	for i := uint64(1); i <= 40; i++ { // wraps both queues
		if got := await(t, r, 1)[0]; got.userData != i || got.res != 0 {
			t.Fatalf("completion %+v, want user data %d", got, i)
		}
		e := mustSQE(t, r)
		e.prepNop(i + 1)
	}
}

func TestURingFull(t *testing.T) {
	r := newTestURing(t, 4, 8)
	for i := range 4 {
		e := mustSQE(t, r)
		e.prepNop(uint64(i))
	}
	if e := r.getSQE(); e != nil {
		t.Error("an entry beyond the size of the queue")
	}
	mustEnable(t, r)
	if n := r.sqPending(); n != 4 {
		t.Errorf("%d entries pending, want 4", n)
	}
	await(t, r, 4)
	if n := r.sqPending(); n != 0 {
		t.Errorf("%d entries pending after submission", n)
	}
}

func TestURingCQOverflow(t *testing.T) {
	r := newTestURing(t, 4, 4)
	mustEnable(t, r)
	const n = 20
	for i := range n {
		e := mustSQE(t, r)
		e.prepNop(uint64(i))
		r.submitAndPoll()
	}
	if !r.unsettled() {
		t.Error("no overflow flagged")
	}
	for i, c := range await(t, r, n) {
		if c.userData != uint64(i) {
			t.Fatalf("completion %d has user data %d", i, c.userData)
		}
	}
	if r.unsettled() {
		t.Error("still overflown when all has been taken")
	}
}

func TestURingWaitTimeout(t *testing.T) {
	r := newTestURing(t, 4, 4)
	mustEnable(t, r)
	start := time.Now()
	if errno := r.submitAndWait(20 * time.Millisecond); errno != syscall.ETIME {
		t.Errorf("wait returned %v, want ETIME", errno)
	}
	if d := time.Since(start); d < 20*time.Millisecond {
		t.Errorf("waited %v only", d)
	}
}

func TestURingRestrictions(t *testing.T) {
	r := newTestURing(t, 4, 4)
	if err := r.restrict([]uint8{ioringOpNop}, 0, nil); err != nil {
		t.Fatal(err)
	}
	mustEnable(t, r)
	e := mustSQE(t, r)
	e.prepNop(1)
	e = mustSQE(t, r)
	e.prepCancel(1, 2)
	for _, c := range await(t, r, 2) {
		want := map[uint64]int32{1: 0, 2: -int32(syscall.EACCES)}[c.userData]
		if c.res != want {
			t.Errorf("operation %d: result %d, want %d", c.userData, c.res, want)
		}
	}
	if r.registerRingFD() {
		t.Error("a forbidden register operation worked")
	}
}

func TestURingMsgRing(t *testing.T) {
	to, from := newTestURing(t, 4, 4), newTestURing(t, 4, 4)
	mustEnable(t, to)
	mustEnable(t, from)
	e := mustSQE(t, from)
	e.prepMsgRing(to.fd, 7, 42, 1)
	if c := await(t, from, 1)[0]; c.res != 0 {
		t.Fatalf("msg_ring: %d", c.res)
	}
	if c := await(t, to, 1)[0]; c.userData != 42 || c.res != 7 {
		t.Errorf("received %+v", c)
	}
}

// TestBufRingWrap receives through a ring of four buffers many times around, and checks what lack of buffers does.
func TestBufRingWrap(t *testing.T) {
	const entries, size = 4, 64
	r := newTestURing(t, 8, 64)
	b, err := openBufRing(r, entries, 3)
	if err != nil {
		t.Fatal(err)
	}
	mustEnable(t, r)
	mem, err := mapPrivate(entries * size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		b.add(mem[i*size:][:size], uint16(i))
	}
	b.publish()

	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	e := mustSQE(t, r)
	e.prepMultishotRecv(p[0], 3, 0, 9)
	r.submitAndPoll()

	for i := range 1<<16 + 100 { // past the wrap of the 16-bit tail
		want := byte(i)
		if _, err := unix.Write(p[1], []byte{want}); err != nil {
			t.Fatal(err)
		}
		c := await(t, r, 1)[0]
		if c.flags&ioringCQEFMore == 0 || c.flags&ioringCQEFBuffer == 0 || c.res != 1 {
			t.Fatalf("round %d: %+v", i, c)
		}
		bid := uint16(c.flags >> ioringCQEBufferShift)
		if got := mem[int(bid)*size]; got != want {
			t.Fatalf("round %d: received %d, want %d", i, got, want)
		}
		b.add(mem[int(bid)*size:][:size], bid)
		b.publish()
	}

	for range entries + 1 {
		if _, err := unix.Write(p[1], make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	got := await(t, r, entries+1)
	if last := got[entries]; last.res != -int32(unix.ENOBUFS) || last.flags&ioringCQEFMore != 0 {
		t.Errorf("without buffers: %+v, want a final ENOBUFS", last)
	}
}

func TestOpenURingOnOlderKernels(t *testing.T) {
	k := theKernel()
	real := k.setup
	var asked []uint32
	k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
		asked = append(asked, p.flags)
		if p.flags&ioringSetupNoSQArray != 0 { // before 6.6
			return -1, syscall.EINVAL
		}
		return real(n, p)
	}
	r, err := openURing(k, 4, 4, uringSetupWant, uringSetupNice)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		t.Skipf("no io_uring here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if len(asked) != 2 || r.setupFlags&ioringSetupNoSQArray != 0 {
		t.Errorf("asked for %#x, got %#x", asked, r.setupFlags)
	}
}
