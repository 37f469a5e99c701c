package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	pipeBytes = 256 << 10 // size asked for: 64 KB costs a third more CPU per byte, 1 MB gains nothing
	keepPipes = 16        // empty pipes kept for the next flow; each is two descriptors
)

// pipes is the pool. A pipe is in the free list or, with bytes inside, in the hands of one flow.
type pipes struct {
	all  []pipe // pipe number i+1
	free []int32
	max  int
	used int
}

type pipe struct{ r, w int32 }

// usable reports whether get is likely to succeed.
func (ps *pipes) usable() bool { return len(ps.free) > 0 || ps.used < ps.max }

func (ps *pipes) count() (open, used int) { return len(ps.free) + ps.used, ps.used }

// get lends an empty pipe: 0 when the pool is at its limit or the system refuses one.
func (ps *pipes) get() int32 {
	if n := len(ps.free); n > 0 {
		i := ps.free[n-1]
		ps.free = ps.free[:n-1]
		ps.used++
		return i
	}
	if ps.used >= ps.max {
		return 0
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return 0
	}
	// Beyond fs.pipe-user-pages-soft an unprivileged process gets EPERM and small pipes (pipe(7)): those still
	// work, only with more calls, but a pool of them is not worth having.
	if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeBytes); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		ps.max = ps.used
		return 0
	}
	ps.used++
	np := pipe{int32(fds[0]), int32(fds[1])}
	for i := range ps.all { // a number whose pipe was closed with bytes inside
		if ps.all[i].r < 0 {
			ps.all[i] = np
			return int32(i + 1)
		}
	}
	ps.all = append(ps.all, np)
	return int32(len(ps.all))
}

// put takes the pipe of f back, if it has one. A pipe with bytes inside cannot be lent again and is closed.
func (ps *pipes) put(f *flow) {
	if f.pipe == 0 {
		return
	}
	i := f.pipe
	ps.used--
	if f.piped == 0 && len(ps.free) < keepPipes {
		ps.free = append(ps.free, i)
	} else {
		ps.drop(i)
	}
	f.pipe, f.piped = 0, 0
}

func (ps *pipes) drop(i int32) {
	p := &ps.all[i-1]
	unix.Close(int(p.r))
	unix.Close(int(p.w))
	p.r, p.w = -1, -1
}

func (ps *pipes) close() {
	for _, i := range ps.free {
		ps.drop(i)
	}
	ps.free = nil
}

// transfer moves bytes of direction d through a pipe until a side is not ready, the source ends or the flow has had
// its share of this turn. See splice(2).
func (p *Pump) transfer(r *Relay, d Dir) {
	f := &r.flow[d]
	src, dst := p.loop.FD(r.sock[d]), p.loop.FD(r.sock[1-d])
	for moved := 0; ; {
		short := true
		if f.pipe == 0 {
			if f.pipe = p.pipes.get(); f.pipe == 0 {
				p.leave(f)
				return
			}
			n, err := spliceOnce(src, int(p.pipes.all[f.pipe-1].w), pipeBytes)
			if n <= 0 {
				p.pipes.put(f)
				switch {
				case n == 0 && err == 0:
					f.flags |= ended
				case err == syscall.EAGAIN:
					p.wait(r, d, waitIn)
				default:
					r.fail(p, d, err)
				}
				return
			}
			f.piped = int32(n)
			if short = n < pipeBytes/4; n >= smallBytes {
				f.small = 0
			} else {
				f.small++
			}
		}
		for f.piped > 0 {
			n, err := spliceOnce(int(p.pipes.all[f.pipe-1].r), dst, int(f.piped))
			if n <= 0 {
				if err == syscall.EAGAIN {
					p.wait(r, d, waitOut)
				} else {
					r.deafen(p, d)
				}
				return
			}
			f.piped -= int32(n)
			f.bytes += uint64(n)
			moved += n
		}
		p.pipes.put(f)
		if f.small >= smallToBuf {
			p.leave(f)
			return
		}
		// After a short piece the socket is most likely drained: asking the poller costs less than a splice that
		// finds nothing.
		if short || moved >= turnBytes {
			p.wait(r, d, waitIn)
			return
		}
	}
}

// leave turns f back to copy.
func (p *Pump) leave(f *flow) {
	f.flags &^= piping | wantPipe
	f.full, f.small = 0, 0
}

func (p *Pump) wait(r *Relay, d Dir, w flags) {
	r.flow[d].flags |= w
	if w == waitIn {
		p.loop.Readable(r.sock[d], r.token)
	} else {
		p.loop.Writable(r.sock[1-d], r.token)
	}
}

// spliceOnce is splice(2) without blocking, past the scheduler: it returns at once.
func spliceOnce(from, to, max int) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(max),
			unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err == 0 {
			return int(n), 0
		}
		if err != syscall.EINTR {
			return -1, err
		}
	}
}
