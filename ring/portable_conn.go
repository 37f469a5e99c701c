package ring

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// Attach implements Loop.
func (p *portable) Attach(l *sock.Listener) (Sock, error) {
	ns := p.openNet(true)
	ns.listener = l
	return ns.so.name, nil
}

// Accept implements Loop.
func (p *portable) Accept(l Sock, t Token) {
	so := p.begin(l, OpAccept, t)
	ns := p.of(l)
	if ns.accept == nil { // the first time, and after Cancel
		nl, err := ns.listener.NetListener()
		if err != nil {
			p.finish(so, OpAccept, netErrno(err), 0, 0)
			return
		}
		ns.accept = nl
	}
	nl, credit := ns.accept, make(chan struct{}, p.multiAccept)
	ns.credit = credit
	ns.out++
	p.workers.Go(func() { p.runAccept(ns, nl, credit) })
}

// runAccept accepts connections until an error. It gets ahead of the loop by no more than credit holds.
func (p *portable) runAccept(ns *netSock, l net.Listener, credit chan<- struct{}) {
	for {
		select {
		case credit <- struct{}{}:
		case <-p.quit:
			return
		}
		c, err := l.Accept()
		p.report(report{on: ns, op: OpAccept, err: netErrno(err), conn: c})
		if err != nil {
			return
		}
	}
}

// accepted takes a report of runAccept: a connection, or the end.
func (p *portable) accepted(r *report) {
	ns := r.on
	if r.conn == nil {
		ns.out--
		p.finish(ns.so, OpAccept, r.err, 0, 0)
		return
	}
	<-ns.credit
	got := p.openNet(false)
	p.adopt(got, r.conn, ns.listener.NoDelay())
	got.so.peer = sock.EndpointOf(addrPort(r.conn.RemoteAddr()))
	p.moreAccept(ns.so, got.so.name)
}

// Connect implements Loop. All errors, also that no socket could be made, come as its completion.
func (p *portable) Connect(a *sock.Addr, o *sock.Options, t Token) (Sock, error) {
	if o == nil {
		o = &sock.Options{}
	}
	ns := p.openNet(false)
	p.begin(ns.so.name, OpConnect, t)
	ns.so.peer = sock.EndpointOf(a.AddrPort)
	ns.noDelay = o.NoDelay
	ctx, cancel := context.WithCancel(context.Background())
	ns.dial = cancel
	ns.out++
	d := &net.Dialer{Control: control(o), KeepAlive: -1} // no probes: that is for the caller to ask
	if o.Bind.IsValid() && !a.IsUnix() && o.Bind.Addr().Is4() == a.AddrPort.Addr().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(o.Bind)
	}
	network, addr := a.Network(), a.String()
	p.workers.Go(func() {
		c, err := d.DialContext(ctx, network, addr)
		p.report(report{on: ns, op: OpConnect, err: netErrno(err), conn: c})
	})
	return ns.so.name, nil
}

// connected takes the report of a Connect.
func (p *portable) connected(r *report) {
	ns := r.on
	ns.out--
	ns.dial() // frees the context
	ns.dial = nil
	if r.conn != nil {
		p.adopt(ns, r.conn, ns.noDelay)
	}
	so := ns.so
	if so.live(OpClose) {
		ns.shut()
		r.err = syscall.ECANCELED
	}
	p.finish(so, OpConnect, r.err, 0, 0)
	p.resume(ns)
}

// resume goes on with what was submitted before the outcome of Connect was known.
func (p *portable) resume(ns *netSock) {
	so := ns.so
	if so.live(OpRecv) {
		if ns.conn != nil {
			p.list(ns)
		} else {
			p.finish(so, OpRecv, syscall.ENOTCONN, 0, 0)
		}
	}
	if so.live(OpSend) {
		if ns.conn != nil {
			p.send(ns)
		} else {
			p.finish(so, OpSend, syscall.ENOTCONN, 0, so.buf)
		}
	}
}

// netErrno is the errno in err. What package net says in words of its own becomes the errno that the system would give.
func netErrno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return unixErrno(e)
	}
	switch {
	case errors.Is(err, io.EOF):
		return 0
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return syscall.ECANCELED
	case errors.Is(err, os.ErrDeadlineExceeded):
		return syscall.ETIMEDOUT
	}
	return syscall.EIO
}
