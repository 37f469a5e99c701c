package ring

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelCalls are the calls by which a ring is made; tests replace them to play an older or a forbidding kernel.
type kernelCalls struct {
	setup    func(entries uint32, p *ringParams) (fd int, errno syscall.Errno)
	register func(fd int, op uintptr, arg unsafe.Pointer, n int) (int, syscall.Errno)
}

// theKernel is the real one.
func theKernel() kernelCalls {
	return kernelCalls{
		setup: func(entries uint32, p *ringParams) (int, syscall.Errno) {
			fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
			return int(fd), errno
		},
		register: func(fd int, op uintptr, arg unsafe.Pointer, n int) (int, syscall.Errno) {
			v, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), op, uintptr(arg), uintptr(n), 0, 0)
			return int(v), errno
		},
	}
}

// restrict limits a disabled ring, from enable on, to the given operations and entry flags.
func (r *uring) restrict(sqeOps []uint8, sqeFlags uint8, registerOps []uint8) error {
	var rs []ringRestriction
	for _, op := range sqeOps {
		rs = append(rs, ringRestriction{kind: ioringRestrictionSQEOp, value: op})
	}
	for _, op := range registerOps {
		rs = append(rs, ringRestriction{kind: ioringRestrictionRegisterOp, value: op})
	}
	rs = append(rs, ringRestriction{kind: ioringRestrictionSQEFlagsAllowed, value: sqeFlags})
	if _, errno := r.calls.register(r.fd, ioringRegisterRestrictions, unsafe.Pointer(&rs[0]), len(rs)); errno != 0 {
		return fmt.Errorf("io_uring restrictions: %w", errno)
	}
	return nil
}

// enable starts a disabled ring and binds it to the calling thread.
func (r *uring) enable() error {
	if _, errno := r.calls.register(r.fd, ioringRegisterEnableRings, nil, 0); errno != 0 {
		return fmt.Errorf("enable io_uring: %w", errno)
	}
	return nil
}

// registerRingFD spares the kernel the look-up of the descriptor in each enter of the calling thread. It is only an
// optimization: false means that it could not be had.
func (r *uring) registerRingFD() bool {
	up := ringUpdate{offset: ^uint32(0), data: uint64(r.fd)} // any free index
	if n, errno := r.calls.register(r.fd, ioringRegisterRingFDs, unsafe.Pointer(&up), 1); errno != 0 || n != 1 {
		return false
	}
	r.enterFD, r.enterFlag = uintptr(up.offset), ioringEnterRegisteredRing
	return true
}
