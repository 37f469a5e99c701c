package dsr

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// openKernel attaches a program for o to the interface. What went on before, if o.Pin has kept it, goes on with the
// servers that are returned.
func openKernel(o *Options, mode Mode, index int) (_ *kernel, before []member, err error) {
	if mode == XDP {
		if err := physical(o.Interface); err != nil {
			return nil, nil, err
		}
	}
	p, err := openPins(o, mode, index)
	if err != nil {
		return nil, nil, err
	}
	k, err := newKernel(mode, p.dir)
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		if err = p.renew(); err == nil {
			k, err = newKernel(mode, p.dir)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(), k.close())
		}
	}()
	if !p.kept() {
		removeClsact(index)
		if err = k.selfTest(); err != nil {
			return nil, nil, fmt.Errorf("self-test: %w", err)
		}
	} else if before, err = k.kept(); err != nil {
		return nil, nil, err
	}
	if err = p.attach(k, index, o.classic); err != nil {
		return nil, nil, err
	}
	return k, before, nil
}

// openKernel attaches the program that o.Mode asks for, or notes why there is none.
func (w *wired) openKernel(o *Options) (before []member, err error) {
	mode := o.Mode
	if mode == Auto {
		mode = TC
	}
	if mode == TC || mode == XDP || mode == XDPGeneric {
		w.kernel, before, err = openKernel(o, mode, w.index)
		if err == nil {
			return before, nil
		}
		if o.Mode != Auto {
			return nil, fmt.Errorf("%s on %s: %w", mode, o.Interface, err)
		}
		w.passed = append(w.passed, Lack{string(mode), err.Error()})
		o.Logf("dsr: %s unavailable (%v); using packet sockets", mode, err)
	}
	// What an earlier process has left must not forward beside us.
	removeClsact(w.index)
	if o.Pin == "" {
		return nil, nil
	}
	p, err := pinsOf(o)
	if err == nil {
		err = p.remove()
	}
	return nil, err
}

// physical returns why the driver of an interface should not run the program. A virtual one leaves checksums and
// segmentation to the receiver, which XDP does not know of, and needs help from its peer to send at all.
func physical(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return fmt.Errorf("driver of %s: %w", name, err)
	}
	switch driver := unix.ByteSliceToString(info.Driver[:]); driver {
	case "veth", "virtio_net", "tun":
		return fmt.Errorf("driver %s: %w: frames with unfinished checksums would be lost", driver, errors.ErrUnsupported)
	}
	return nil
}
