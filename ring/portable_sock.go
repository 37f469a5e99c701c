package ring

import (
	"context"
	"net"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// streamConn is what *net.TCPConn and *net.UnixConn have in common.
type streamConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// rawIO reads and writes without blocking, as far as the system allows. Only await is for a goroutine; after it and
// before its report no other method is called.
type rawIO interface {
	// read and write are like read(2) and write(2): EAGAIN means that await, or Write, has to block.
	read(b []byte) (int, syscall.Errno)
	write(b []byte) (int, syscall.Errno)
	// await blocks until there is something to read: data, the end of the stream or the error that it returns.
	await() syscall.Errno
}

// netSock is what portable knows of a socket beside its entry in the table. It belongs to the loop: a goroutine gets
// what it needs when it starts, and knows the rest only as the address of its reports.
type netSock struct {
	so  *socket
	out int // goroutines at work for it, which will report

	// of a listener
	listener *sock.Listener
	accept   net.Listener  // what goroutines accept from, nil if none may; closing it is how an Accept is cancelled
	credit   chan struct{} // holds one for each connection that was accepted and not yet taken by the loop

	// of a connection
	conn    streamConn // nil until it is made, and after Close
	io      rawIO
	look    interface{ await() syscall.Errno } // what the reader does
	noDelay bool                               // for Connect
	dial    context.CancelFunc                 // ends Connect; nil: none pending
	reader  chan struct{}                      // asks the reader to await; nil: not started
	writer  chan []byte                        // tells the writer what to write; nil: not started
	await   bool                               // the reader is at work
	sending bool                               // the writer is at work, and has the memory of the buffer
	listed  bool                               // in portable.ready
	broken  syscall.Errno                      // found by the reader, and gone from the kernel

	// of a UDP socket
	gram     *sock.DatagramSocket
	gramConn *net.UDPConn // for the reader
}

// of is the netSock of s.
func (p *portable) of(s Sock) *netSock {
	p.sock(s)
	return p.nets[s.slot()]
}

// openNet makes a socket in both tables.
func (p *portable) openNet(listener bool) *netSock {
	so := p.open(-1, listener)
	i := int(so.name.slot())
	for i >= len(p.nets) {
		p.nets = append(p.nets, nil)
	}
	ns := &netSock{so: so}
	p.nets[i] = ns
	return ns
}

// adopt makes c the connection of ns.
func (p *portable) adopt(ns *netSock, c net.Conn, noDelay bool) {
	if t, ok := c.(*net.TCPConn); ok && !noDelay {
		_ = t.SetNoDelay(false) // package net sets it
	}
	ns.conn = c.(streamConn)
	ns.io = p.newIO(ns.conn)
	ns.look = ns.io
}

// shut closes what ns has open, and so ends what goroutines do for it.
func (ns *netSock) shut() {
	if ns.accept != nil {
		ns.accept.Close()
		ns.accept = nil
	}
	if ns.dial != nil {
		ns.dial()
	}
	if ns.conn != nil {
		ns.conn.Close()
		ns.conn = nil
	}
	ns.shutGram()
}

// endWorkers ends the goroutines that wait for work.
func (ns *netSock) endWorkers() {
	if ns.reader != nil {
		close(ns.reader)
		ns.reader = nil
	}
	if ns.writer != nil {
		close(ns.writer)
		ns.writer = nil
	}
}

// Recv implements Loop.
func (p *portable) Recv(s Sock, t Token) {
	so := p.begin(s, OpRecv, t)
	switch ns := p.of(s); {
	case ns.conn != nil && !ns.await:
		p.list(ns)
	case ns.conn == nil && ns.dial == nil:
		p.finish(so, OpRecv, syscall.ENOTCONN, 0, 0)
	}
}

// list notes that ns is worth a read.
func (p *portable) list(ns *netSock) {
	if !ns.listed {
		ns.listed = true
		p.ready = append(p.ready, ns)
	}
}

// readReady reads one piece from each listed socket, unless the handlers are behind with what there is already.
func (p *portable) readReady() {
	if p.queue.len() >= dispatchMax {
		return
	}
	p.ready, p.later = p.later[:0], p.ready
	for i, ns := range p.later {
		p.later[i] = nil
		ns.listed = false
		if ns.conn != nil && ns.so.live(OpRecv) { // else it was closed, and the slot may be another's by now
			p.readPiece(ns)
		}
	}
}

func (p *portable) readPiece(ns *netSock) {
	so := ns.so
	if ns.broken != 0 {
		p.finish(so, OpRecv, ns.broken, 0, 0)
		return
	}
	b := p.Alloc()
	mem := p.Bytes(b)
	n, err := ns.io.read(mem)
	if n > 0 {
		p.more(so, OpRecv, n, b)
		if n == len(mem) {
			p.list(ns) // there may be more
		} else {
			p.askReader(ns)
		}
		return
	}
	p.Release(b)
	if err == syscall.EAGAIN {
		p.askReader(ns)
		return
	}
	p.finish(so, OpRecv, err, 0, 0)
}

// askReader lets the reader wait for something to read.
func (p *portable) askReader(ns *netSock) {
	if ns.reader == nil {
		look, asked := ns.look, make(chan struct{}, 1)
		ns.reader = asked
		p.workers.Go(func() { p.runReader(ns, look.await, asked) })
	}
	ns.await = true
	ns.out++
	ns.reader <- struct{}{}
}

func (p *portable) runReader(ns *netSock, await func() syscall.Errno, asked <-chan struct{}) {
	for range asked {
		p.report(report{on: ns, op: OpRecv, err: await()})
	}
}

// readable takes the reader's report. Nobody may want to read any more: then the next Recv will find what is there.
func (p *portable) readable(r *report) {
	ns := r.on
	ns.out--
	ns.await = false
	ns.broken = r.err
	if ns.so.datagram {
		p.filled(ns)
		return
	}
	if ns.so.live(OpRecv) {
		p.list(ns)
	}
}

// Send implements Loop.
func (p *portable) Send(s Sock, b Buf, off, n int, t Token) {
	checkRange(off, n, len(p.Bytes(b)))
	so := p.begin(s, OpSend, t)
	so.buf, so.from, so.to, so.sent = b, int32(off), int32(off+n), 0
	switch ns := p.of(s); {
	case ns.conn != nil:
		p.send(ns)
	case ns.dial == nil:
		p.finish(so, OpSend, syscall.ENOTCONN, 0, b)
	}
}

// send writes what the system takes at once, and leaves the rest to the writer.
func (p *portable) send(ns *netSock) {
	so := ns.so
	mem := p.Bytes(so.buf)[so.from:so.to]
	n, err := ns.io.write(mem)
	if n == len(mem) || err != 0 && err != syscall.EAGAIN {
		p.finish(so, OpSend, err, n, so.buf)
		return
	}
	so.sent = int32(n)
	if ns.writer == nil {
		conn, asked := ns.conn, make(chan []byte, 1)
		ns.writer = asked
		p.workers.Go(func() { p.runWriter(ns, conn, asked) })
	}
	ns.sending = true
	ns.out++
	ns.writer <- mem[n:]
}

func (p *portable) runWriter(ns *netSock, conn net.Conn, asked <-chan []byte) {
	for mem := range asked {
		n, err := conn.Write(mem)
		p.report(report{on: ns, op: OpSend, n: n, err: netErrno(err)})
	}
}

// sent takes the writer's report.
func (p *portable) sent(r *report) {
	so := r.on.so
	r.on.out--
	r.on.sending = false
	p.finish(so, OpSend, r.err, int(so.sent)+r.n, so.buf)
}
