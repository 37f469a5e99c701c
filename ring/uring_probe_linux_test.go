package ring

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"unsafe"
)

// TestURingFailsHalfway lets the kernel refuse the loop's own ring, after the probe: nothing may stay open.
func TestURingFailsHalfway(t *testing.T) {
	if err := uringAvailable(); err != nil {
		t.Skipf("no io_uring here: %v", err)
	}
	real := theKernel()
	for name, fail := range map[string]func(*kernelCalls){
		"setup": func(k *kernelCalls) {
			k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
				if n == uringSQEntries {
					return -1, syscall.ENOMEM
				}
				return real.setup(n, p)
			}
		},
		"features": func(k *kernelCalls) {
			k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
				fd, errno := real.setup(n, p)
				if n == uringSQEntries {
					p.features = 0
				}
				return fd, errno
			}
		},
		"buffer ring": func(k *kernelCalls) { refuseRegister(k, ioringRegisterPbufRing, 2) },
		"restrict":    func(k *kernelCalls) { refuseRegister(k, ioringRegisterRestrictions, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			k := theKernel()
			fail(&k)
			before := openFDs(t)
			if _, err := openURingLoop(k, Options{}); err == nil {
				t.Error("opened")
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// refuseRegister lets the nth call of op fail.
func refuseRegister(k *kernelCalls, op uintptr, nth int) {
	register := k.register
	k.register = func(fd int, got uintptr, arg unsafe.Pointer, n int) (int, syscall.Errno) {
		if got == op {
			if nth--; nth == 0 {
				return -1, syscall.EINVAL
			}
		}
		return register(fd, got, arg, n)
	}
}

func TestURingProbeReasons(t *testing.T) {
	refuse := func(flag uint32, e syscall.Errno) kernelCalls {
		k := theKernel()
		setup := k.setup
		k.setup = func(n uint32, p *ringParams) (int, syscall.Errno) {
			if flag == 0 || p.flags&flag != 0 {
				return -1, e
			}
			return setup(n, p)
		}
		return k
	}
	for _, tt := range []struct {
		name string
		k    kernelCalls
		want error
		text string
	}{
		{"before 6.1", refuse(ioringSetupDeferTaskrun, syscall.EINVAL), errTooOld, "kernel too old"},
		{"before 5.1", refuse(0, syscall.ENOSYS), syscall.ENOSYS, "not in this kernel"},
		{"container", refuse(0, syscall.EPERM), syscall.EPERM, ""},
		{"memlock", refuse(0, syscall.ENOMEM), syscall.ENOMEM, "locked memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := openURingLoop(tt.k, Options{})
			if !errors.Is(err, tt.want) || !bytes.Contains([]byte(err.Error()), []byte(tt.text)) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
	t.Run("before 6.6", func(t *testing.T) {
		can, err := probeURing(refuse(ioringSetupNoSQArray, syscall.EINVAL))
		if err != nil {
			t.Skipf("no io_uring here: %v", err)
		}
		if can.noArray {
			t.Error("claims NO_SQARRAY")
		}
	})
}
