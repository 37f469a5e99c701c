package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// probeURing does on a throw-away ring what the engine does on its own: restrict, enable, receive into a ring of
// buffers. It yields words for Features, or an error for an operator: why this machine has no io_uring for us.
func probeURing(k kernelCalls) ([]string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	words, err := tryURing(k)
	return words, uringReason(err)
}

func tryURing(k kernelCalls) ([]string, error) {
	r, err := openURing(k, 4, 8, uringSetupWant, uringSetupNice)
	if err != nil {
		return nil, err
	}
	defer r.close()
	words := []string{"multishot", "buffer-ring", "single-issuer", "defer-taskrun", "restricted"}
	if r.setupFlags&ioringSetupNoSQArray != 0 {
		words = append(words, "no-sqarray")
	}
	mem, err := mapPrivate(os.Getpagesize())
	if err != nil {
		return nil, err
	}
	defer unix.Munmap(mem)
	br, err := openBufRing(r, 1, bufGroup)
	if err != nil {
		return nil, err
	}
	defer br.close()
	br.add(mem, 0)
	br.publish()
	if err := r.restrict(uringOps, uringSQEFlags, uringRegisterOps); err != nil {
		return nil, err
	}
	if err := r.enable(); err != nil {
		return nil, err
	}
	if r.registerRingFD() {
		words = append(words, "registered-ring-fd")
	}
	return words, tryReceive(r, mem)
}

// tryReceive receives a byte and the end of the stream.
func tryReceive(r *uring, mem []byte) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(pair[0])
	_, err = unix.Write(pair[1], []byte{42})
	unix.Close(pair[1])
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	r.getSQE().prepMultishotRecv(pair[0], bufGroup, 1)
	for got := uint32(0); got < 2; got = r.ready() { // both are there at once
		if errno := r.submitAndWait(-1); errno != 0 && errno != syscall.EINTR {
			return fmt.Errorf("io_uring_enter: %w", errno)
		}
		if r.ready() == 1 && r.cqes[0].flags&ioringCQEFMore == 0 {
			break
		}
	}
	switch c := r.next(); {
	case c.res < 0:
		return fmt.Errorf("multishot receive: %w", resErrno(c.res))
	case c.res != 1 || c.flags&ioringCQEFBuffer == 0 || c.flags&ioringCQEFMore == 0 || mem[0] != 42:
		return fmt.Errorf("multishot receive: wrong result %d, flags %#x", c.res, c.flags)
	}
	return nil
}

// errTooOld covers all that an older kernel lacks.
var errTooOld = errors.New("kernel too old, 6.1 is needed")

// uringReason puts the likely cause before an error of the probe.
func uringReason(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSYS):
		return fmt.Errorf("not in this kernel, or forbidden by a seccomp filter: %w", err)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		if v := uringDisabled(); v != "0" && v != "" {
			return fmt.Errorf("kernel.io_uring_disabled=%s: %w", v, err)
		}
		return fmt.Errorf("forbidden, as by the seccomp filter of a container: %w", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: %w", errTooOld, err)
	case errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("limit of locked memory too small (ulimit -l), or out of memory: %w", err)
	}
	return err
}

// uringDisabled is the sysctl kernel.io_uring_disabled (6.6): 1 forbids it to the unprivileged, 2 to all.
func uringDisabled() string {
	b, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
