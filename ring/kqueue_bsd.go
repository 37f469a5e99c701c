//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package ring

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shortReadDrains is off: the BSDs do not promise it, and a kevent does not tell about urgent data.
const shortReadDrains = false

const maxEvents = 512

// poller is kqueue(2) with a pipe to end its wait (EVFILT_USER is missing on OpenBSD).
type poller struct {
	fd    int
	pipe  [2]int
	got   []unix.Kevent_t // maxEvents long
	names []Sock          // by descriptor: the kevent's own place for it is a pointer, which a name is not
}

func newKqueue(o Options) (Loop, error) {
	r, err := newReadiness("kqueue", o)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (p *poller) open() (err error) {
	p.got = make([]unix.Kevent_t, maxEvents)
	if p.fd, err = unix.Kqueue(); err != nil { // not inherited by a child
		return os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(p.fd)
	if err := unix.Pipe(p.pipe[:]); err != nil {
		unix.Close(p.fd)
		return os.NewSyscallError("pipe", err)
	}
	for _, fd := range p.pipe {
		unix.CloseOnExec(fd)
		if err = unix.SetNonblock(fd, true); err != nil {
			p.close()
			return os.NewSyscallError("fcntl", err)
		}
	}
	if e := p.control(p.pipe[0], unix.EV_ADD, evRead); e != 0 {
		p.close()
		return os.NewSyscallError("kevent", e)
	}
	return nil
}

func (p *poller) close() {
	unix.Close(p.fd)
	unix.Close(p.pipe[0])
	unix.Close(p.pipe[1])
}

func (*poller) features() []string { return []string{"edge-triggered"} }

func (p *poller) wake() { unix.Write(p.pipe[1], []byte{0}) }

// add registers fd under the name of s.
func (p *poller) add(fd int, s Sock, ev events) syscall.Errno {
	for fd >= len(p.names) {
		p.names = append(p.names, 0)
	}
	p.names[fd] = s
	if ev&evLevel != 0 {
		return p.control(fd, unix.EV_ADD, ev)
	}
	return p.control(fd, unix.EV_ADD|unix.EV_CLEAR, ev)
}

// modify reports ev once more if it is there already: adding a filter again has it evaluated again. The other
// direction stays registered, which costs an edge at most.
func (p *poller) modify(fd int, _ Sock, ev events) syscall.Errno {
	return p.control(fd, unix.EV_ADD|unix.EV_CLEAR, ev)
}

// remove ends the watch of an fd that stays open, a listener.
func (p *poller) remove(fd int) {
	p.control(fd, unix.EV_DELETE, evRead)
	p.names[fd] = 0
}

func (p *poller) control(fd, flags int, ev events) syscall.Errno {
	var list [2]unix.Kevent_t
	n := 0
	if ev&evRead != 0 {
		unix.SetKevent(&list[n], fd, unix.EVFILT_READ, flags)
		n++
	}
	if ev&evWrite != 0 {
		unix.SetKevent(&list[n], fd, unix.EVFILT_WRITE, flags)
		n++
	}
	_, err := unix.Kevent(p.fd, list[:n], nil, nil)
	var e syscall.Errno
	errors.As(err, &e)
	return e
}

// wait yields the number of events that came within d, which is negative for ever.
func (p *poller) wait(d time.Duration) (int, error) {
	var ts *unix.Timespec
	if d >= 0 {
		t := unix.NsecToTimespec(int64(d))
		ts = &t
	}
	n, err := unix.Kevent(p.fd, nil, p.got, ts)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, unix.EINTR):
		return 0, nil
	}
	return 0, fmt.Errorf("kevent: %w", err)
}

// event is the i-th event of the last wait.
func (p *poller) event(i int) (Sock, events) {
	k := &p.got[i]
	fd := int(k.Ident)
	if fd == p.pipe[0] {
		var drop [64]byte
		unix.Read(fd, drop[:])
		return 0, 0
	}
	if fd >= len(p.names) {
		return 0, 0
	}
	ev := evRead
	if k.Filter == unix.EVFILT_WRITE {
		ev = evWrite
	}
	if k.Flags&unix.EV_EOF != 0 && ev == evRead {
		ev |= evHangup
	}
	return p.names[fd], ev
}
