//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris)

package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// Listener is a listening stream socket of package net.
type Listener struct {
	addr    Addr
	noDelay bool
	nl      *sharedListener
}

// Listen opens a listener at a. A Unix socket that is left at the path is removed first; any other file there gives
// ErrNotSocket. The options are the system's own: it has no others that package net would set.
func Listen(a *Addr, o *ListenOptions) (*Listener, error) {
	if o == nil {
		o = &ListenOptions{}
	}
	if a.IsUnix() {
		if err := removeSocket(a.Path); err != nil {
			return nil, fmt.Errorf("listen %s: %w", a, err)
		}
	}
	var lc net.ListenConfig
	nl, err := lc.Listen(context.Background(), a.Network(), a.String())
	if err != nil {
		return nil, err
	}
	l := &Listener{addr: *a, noDelay: o.NoDelay, nl: newShared(nl)}
	if t, ok := nl.Addr().(*net.TCPAddr); ok {
		l.addr.AddrPort = t.AddrPort()
	}
	if a.IsUnix() && o.Mode != 0 {
		if err := os.Chmod(a.Path, os.FileMode(o.Mode&0o777)); err != nil {
			nl.Close()
			return nil, fmt.Errorf("listen %s: %w", a, err)
		}
	}
	return l, nil
}

func removeSocket(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != os.ModeSocket:
		return ErrNotSocket
	}
	return os.Remove(path)
}

// FD is -1: there is no descriptor to use.
func (*Listener) FD() int { return -1 }

// SetBacklog does nothing: the system's maximum is in use already.
func (*Listener) SetBacklog(int) error { return nil }

// Close closes the listener.
func (l *Listener) Close() error { return l.nl.close() }

// NetListener is the same listener for package net. Closing it leaves l open, and it may be called several times.
func (l *Listener) NetListener() (net.Listener, error) { return l.nl.view(), nil }

// sharedListener lets several views accept from one listener; each may be closed by itself, which ends its Accept.
type sharedListener struct {
	nl     net.Listener
	conns  chan net.Conn
	errs   chan error // of the listener, but for its end
	closed chan struct{}
	once   sync.Once
}

func newShared(nl net.Listener) *sharedListener {
	s := &sharedListener{nl: nl, conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
	go s.accept()
	return s
}

func (s *sharedListener) accept() {
	for {
		c, err := s.nl.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case s.errs <- err:
			case <-s.closed:
				return
			}
			continue
		}
		select {
		case s.conns <- c:
		case <-s.closed:
			c.Close()
			return
		}
	}
}

func (s *sharedListener) close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		close(s.closed)
		err = s.nl.Close()
	})
	return err
}

func (s *sharedListener) view() net.Listener {
	return &listenerView{s: s, done: make(chan struct{})}
}

type listenerView struct {
	s    *sharedListener
	done chan struct{}
	once sync.Once
}

func (v *listenerView) Accept() (net.Conn, error) {
	select {
	case <-v.done: // even if a connection waits
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-v.s.conns:
		return c, nil
	case err := <-v.s.errs:
		return nil, err
	case <-v.done:
	case <-v.s.closed:
	}
	return nil, net.ErrClosed
}

func (v *listenerView) Close() error {
	v.once.Do(func() { close(v.done) })
	return nil
}

func (v *listenerView) Addr() net.Addr { return v.s.nl.Addr() }
