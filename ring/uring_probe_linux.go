package ring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// uringAbility is what the probe found that not every kernel has.
type uringAbility struct {
	noArray      bool // IORING_SETUP_NO_SQARRAY
	registeredFD bool // the ring's descriptor can be registered
	limit        bool // a multishot receive ends after so many bytes
}

// words are for Features.
func (a uringAbility) words() []string {
	w := []string{"multishot", "buffer-ring", "single-issuer", "defer-taskrun", "restricted"}
	for _, f := range []struct {
		has  bool
		word string
	}{{a.noArray, "no-sqarray"}, {a.registeredFD, "registered-ring-fd"}, {a.limit, "receive-limit"}} {
		if f.has {
			w = append(w, f.word)
		}
	}
	return w
}

// uringAvailable is the probe alone.
func uringAvailable() error {
	_, err := probeURing(theKernel())
	return err
}

// probeURing does on a throw-away ring what the engine does on its own: restrict, enable, receive into a ring of
// buffers. The error tells an operator why this machine has no io_uring for us.
func probeURing(k kernelCalls) (uringAbility, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a, err := tryURing(k)
	return a, uringReason(err)
}

func tryURing(k kernelCalls) (a uringAbility, err error) {
	r, err := openURing(k, 4, 8, uringSetupWant, uringSetupNice)
	if err != nil {
		return a, err
	}
	defer r.close()
	a.noArray = r.setupFlags&ioringSetupNoSQArray != 0
	mem, err := mapPrivate(os.Getpagesize())
	if err != nil {
		return a, err
	}
	defer unix.Munmap(mem)
	br, err := openBufRing(r, 2, bufGroup)
	if err != nil {
		return a, err
	}
	defer br.close()
	if err := r.restrict(uringOps, uringSQEFlags, uringRegisterOps); err != nil {
		return a, err
	}
	if err := r.enable(); err != nil {
		return a, err
	}
	a.registeredFD = r.registerRingFD()

	br.add(mem, 0)
	br.publish()
	err = tryReceive(r, mem, uint32(len(mem)))
	if a.limit = err == nil; !a.limit && errors.Is(err, syscall.EINVAL) {
		err = tryReceive(r, mem, 0)
	}
	return a, err
}

// tryReceive receives a byte and the end of the stream.
func tryReceive(r *uring, mem []byte, limit uint32) error {
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
	r.getSQE().prepMultishotRecv(pair[0], bufGroup, limit, 1)
	var first cqe
	for n := 0; ; n++ {
		for r.ready() == 0 {
			if errno := r.submitAndWait(time.Second); errno != 0 && errno != syscall.EINTR {
				return fmt.Errorf("io_uring_enter: %w", errno)
			}
		}
		c := *r.next()
		r.advance()
		if n == 0 {
			first = c
		}
		if c.flags&ioringCQEFMore == 0 {
			break
		}
	}
	switch {
	case first.res < 0:
		return fmt.Errorf("multishot receive: %w", resErrno(first.res))
	case first.res != 1 || first.flags&ioringCQEFBuffer == 0 || first.flags&ioringCQEFMore == 0 || mem[0] != 42:
		return fmt.Errorf("multishot receive: wrong result %d, flags %#x", first.res, first.flags)
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
