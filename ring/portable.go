package ring

import (
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// portable is the engine for systems without a better one. Package net has no readiness and no completions, only
// calls that block, so goroutines do those, and report to the loop:
//
//	Accept    while it is pending, one goroutine in net.Listener.Accept
//	Connect   while it is pending, one goroutine in net.Dialer
//	Recv      one goroutine per socket, from its first Recv until Close, which waits until the socket is readable
//	Send      one goroutine per socket, from the first Send that found the socket full until Close, in net.Conn.Write
//
// An idle connection thus costs a goroutine per socket (about 4 KB), but no buffer: it is the loop that reads, once a
// goroutine has seen data. This is also the back-pressure, and why nothing is lost by Cancel: what the loop has not
// asked for stays in the kernel. In return Post keeps only the order of what the goroutines have reported: data that
// no goroutine has seen yet may come after a function that was posted later. A goroutine touches nothing of the loop but the list of reports; the slot of a
// socket is not used again before all its goroutines have reported, so that no report can come too late.
type portable struct {
	core

	// constant after newPortable
	newIO       func(streamConn) rawIO
	multiAccept int
	wakeup      chan struct{} // ends the wait; holds one
	quit        chan struct{} // closed when Run ends

	// loop only
	nets  []*netSock  // by slot
	ready []*netSock  // to be read from, a piece each
	later []*netSock  // the other slice, emptied: ready swaps with it
	taken []report    // the other slice, emptied: reports swaps with it
	timer *time.Timer // for a wait with an end

	// guarded by core.mu
	reports []report

	workers sync.WaitGroup
}

// portableBuf is the size of a buffer: that of the other engines.
const portableBuf = 64 << 10

// A report is what a goroutine has done for a socket.
type report struct {
	on   *netSock
	op   Op
	n    int
	err  syscall.Errno
	conn net.Conn // Accept, Connect
}

func newPortable(o Options) (Loop, error) {
	if o.BufSize == 0 {
		o.BufSize = portableBuf
	}
	if o.MultiAccept == 0 {
		o.MultiAccept = defaultMultiAccept
	}
	p := &portable{
		newIO:       newIO,
		multiAccept: o.MultiAccept,
		wakeup:      make(chan struct{}, 1),
		quit:        make(chan struct{}),
		timer:       time.NewTimer(time.Hour),
	}
	p.timer.Stop()
	p.core.init(o.BufSize, func() {
		select {
		case p.wakeup <- struct{}{}:
		default:
		}
	})
	return p, nil
}

// Engine implements Loop.
func (p *portable) Engine() string { return "portable" }

// Features implements Loop.
func (p *portable) Features() []string { return []string{"goroutines"} }

// HasFD implements Loop.
func (p *portable) HasFD() bool { return false }

// Run implements Loop.
func (p *portable) Run() error {
	if err := p.start(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for !p.stopping() {
		posts := p.takePosts()
		p.wait(len(posts) > 0)
		p.turns++
		p.tick()
		p.takeReports()
		p.grams.flush()
		p.readReady()
		p.expire()
		p.dispatch()
		p.runPosts(posts)
	}
	p.drain()
	p.retire()
	p.end()
	return nil
}

// wait sleeps until there is something to do, unless there is already.
func (p *portable) wait(busy bool) {
	d := p.waitTime()
	if busy || d == 0 || len(p.ready) > 0 || !p.sleep() {
		return
	}
	defer p.awake()
	switch {
	case p.reported():
	case d < 0:
		<-p.wakeup
	default:
		p.timer.Reset(d)
		select {
		case <-p.wakeup:
			p.timer.Stop()
		case <-p.timer.C:
		}
	}
}

// report hands r to the loop. It is how the goroutines speak.
func (p *portable) report(r report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports = append(p.reports, r)
	p.rouse()
}

// reported looks for reports that came before sleep announced that there is somebody to wake.
func (p *portable) reported() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.reports) > 0
}

func (p *portable) takeReports() {
	p.mu.Lock()
	p.taken, p.reports = p.reports, p.taken[:0]
	p.mu.Unlock()
	for i := range p.taken {
		p.take(&p.taken[i])
	}
	clear(p.taken) // they hold pointers
}

func (p *portable) take(r *report) {
	switch r.op {
	case OpAccept:
		p.accepted(r)
	case OpConnect:
		p.connected(r)
	case OpRecv:
		p.readable(r)
	case OpSend:
		p.sent(r)
	}
	p.tryEnd(r.on)
}

// end closes all sockets and awaits all goroutines.
func (p *portable) end() {
	close(p.quit)
	p.socks.each(func(so *socket) {
		ns := p.nets[so.name.slot()]
		ns.shut()
		ns.endWorkers()
	})
	p.workers.Wait()
	for _, r := range p.reports {
		if r.conn != nil {
			r.conn.Close()
		}
	}
}

// Close implements Loop.
func (p *portable) Close(s Sock, t Token) {
	so := p.begin(s, OpClose, t)
	ns := p.of(s)
	if so.datagram {
		p.grams.flush() // while it is open
	}
	for _, op := range [...]Op{OpRecv, OpReceive} {
		if so.live(op) {
			p.finish(so, op, syscall.ECANCELED, 0, 0)
		}
	}
	if so.live(OpSend) && !ns.sending {
		p.finish(so, OpSend, syscall.ECANCELED, 0, so.buf)
	}
	ns.shut() // the goroutines come back by this, and report the other operations as cancelled
	p.tryEnd(ns)
}

// tryEnd completes Close once no goroutine is at work for the socket.
func (p *portable) tryEnd(ns *netSock) {
	if ns.out > 0 || !ns.so.live(OpClose) {
		return
	}
	ns.endWorkers()
	p.finish(ns.so, OpClose, 0, 0, 0)
}

// Cancel implements Loop.
func (p *portable) Cancel(s Sock, op Op) {
	so := p.sock(s)
	if op == OpSend || op == OpClose || !so.live(op) {
		return
	}
	switch ns := p.of(s); op {
	case OpRecv, OpReceive:
		p.finish(so, op, syscall.ECANCELED, 0, 0) // its goroutine may go on waiting, for the next Recv
	case OpAccept, OpConnect:
		ns.shut()
	}
}

// Readable implements Loop: there is none, as HasFD says.
func (p *portable) Readable(Sock, Token) { panic("ring: Readable on a loop without descriptors") }

// Writable implements Loop: there is none, as HasFD says.
func (p *portable) Writable(Sock, Token) { panic("ring: Writable on a loop without descriptors") }

// Shutdown implements Loop.
func (p *portable) Shutdown(s Sock) syscall.Errno {
	ns := p.of(s)
	if ns.conn == nil {
		return syscall.ENOTCONN
	}
	return netErrno(ns.conn.CloseWrite())
}

// Abort implements Loop.
func (p *portable) Abort(s Sock) {
	if c, ok := p.of(s).conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // fails on a socket that has been reset already
	}
}

// FD implements Loop.
func (p *portable) FD(s Sock) int {
	ns := p.of(s)
	switch {
	case ns.so.datagram:
		return int(ns.so.fd)
	case ns.listener != nil:
		return ns.listener.FD()
	case ns.conn == nil:
		return -1
	}
	return descriptor(ns.conn)
}

// Local implements Loop.
func (p *portable) Local(s Sock) netip.AddrPort {
	ns := p.of(s)
	switch {
	case ns.gram != nil:
		a := ns.gram.Addr()
		return a.AddrPort
	case ns.listener != nil:
		a := ns.listener.Addr()
		return a.AddrPort
	case ns.conn == nil:
		return netip.AddrPort{}
	}
	return addrPort(ns.conn.LocalAddr())
}

// addrPort is the address that a holds; the zero value for that of a Unix socket.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	e := sock.EndpointOf(t.AddrPort())
	return e.AddrPort()
}
