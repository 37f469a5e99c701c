package datagram

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// Worker is the part of a Proxy on one loop. All of it belongs to that loop's goroutine.
type Worker struct {
	proxy *Proxy
	loop  ring.Loop
	log   *sink.Producer
	index int
	seed  maphash.Seed
	epoch int64 // what to add to the loop's clock to get nanoseconds since 1970

	listeners []*listener
	table     table
	lanes     []*lane
	laneOf    map[sock.Endpoint]int32
	pools     []*pool
	ups       []up
	freeUps   []int32
	open      int        // up-sockets
	given     netip.Addr // the `source` that the lanes are made with
	timer     ring.Timer // tick
	flushed   int64      // when flush has run
	stats     Stats

	// scratch, so that nothing escapes to the heap for each datagram
	opts sock.DatagramOptions
	who  balance.Client
	out  sock.Datagram
	line accesslog.Line
}

// listener is an attached listening socket.
type listener struct {
	src      *sock.DatagramSocket
	sock     ring.Sock
	detached func() // called once the loop no longer uses src; nil while it is in use
}

// Token classes of a worker's operations.
const (
	classListener ring.Class = 16 // value: index in Worker.listeners
	classUp       ring.Class = 17 // value: index in Worker.ups
	classTick     ring.Class = 18
)

// NewWorker adds the part of p that runs on loop l. Call it before the loop runs.
func (p *Proxy) NewWorker(l ring.Loop) *Worker {
	i := p.workers.Len()
	w := &Worker{proxy: p, loop: l, log: p.Log.Producer(i), index: i, seed: maphash.MakeSeed(),
		laneOf: make(map[sock.Endpoint]int32)}
	w.epoch = time.Now().UnixNano() - l.Now()
	for _, c := range []ring.Class{classListener, classUp, classTick} {
		l.Handle(c, w)
	}
	p.workers.Add(l, w)
	return w
}

// now is the time of the policy, in nanoseconds since 1970.
func (w *Worker) now() int64 { return w.loop.Now() + w.epoch }

// Listen starts to receive from l. On the loop, or before it runs.
func (w *Worker) Listen(l *sock.DatagramSocket) error {
	s, err := w.loop.AttachDatagrams(l)
	if err != nil {
		return err
	}
	w.listeners = append(w.listeners, &listener{src: l, sock: s})
	w.loop.Receive(s, ring.NewToken(classListener, uint64(len(w.listeners)-1)))
	return nil
}

// Unlisten ends the sessions of l, which could not be answered any more, and calls f once the loop no longer uses it.
// On the loop.
func (w *Worker) Unlisten(l *sock.DatagramSocket, f func()) {
	for i, x := range w.listeners {
		if x != nil && x.src == l && x.detached == nil {
			x.detached = f
			w.table.each(func(s *session) {
				if s.down == x.sock {
					w.end(s, "listen")
				}
			})
			w.loop.Close(x.sock, ring.NewToken(classListener, uint64(i)))
			return
		}
	}
	f()
}

// Close logs the sessions that are left once the loop has ended, which closed their sockets.
func (w *Worker) Close() { w.table.each(func(s *session) { w.record(s, "exit") }) }

// Complete takes every completion of the loop.
func (w *Worker) Complete(c *ring.Completion) {
	i := int(c.Token.Value())
	switch c.Token.Class() {
	case classListener:
		ln := w.listeners[i]
		switch {
		case c.Op == ring.OpClose:
			w.stats.Dropped += ln.src.Drops()
			w.listeners[i] = nil
			ln.detached()
		case c.More:
			st := w.proxy.Settings.Get()
			ds := w.loop.Datagrams()
			for k := range ds {
				w.fromClient(ln, &ds[k], st)
			}
		case ln.detached == nil:
			w.proxy.Logf("listener %d: no more datagrams are received: %v", i, c.Err)
		}
	case classUp:
		switch {
		case c.Op == ring.OpClose:
			w.ups[i].closing--
			w.freeUp(int32(i))
		case c.More && w.ups[i].sock == c.Sock:
			st := w.proxy.Settings.Get()
			ds := w.loop.Datagrams()
			for k := range ds {
				w.fromServer(int32(i), &ds[k], st)
			}
		}
	case classTick:
		w.timer = 0
		w.tick()
	}
}

func (w *Worker) hash(e *sock.Endpoint) uint32 { return uint32(e.Hash(w.seed)) }

// hashUp is the hash of a pair of up-socket and server.
func (w *Worker) hashUp(i int32, to *sock.Endpoint) uint32 {
	return w.hash(to) + uint32(i)*0x9e3779b1 // 2^32 divided by the golden ratio spreads what counts up
}

// fromClient forwards d, which a client has sent to ln.
func (w *Worker) fromClient(ln *listener, d *sock.Datagram, st *settings.Settings) {
	if d.Err != 0 || ln.detached != nil {
		return
	}
	w.proxy.Show(st, d.Data)
	if st.UDPNoSession {
		w.passOn(d, st)
		return
	}
	hash := w.hash(&d.Remote)
	s := w.table.findClient(hash, ln.sock, &d.Remote, &d.Local)
	switch {
	case s == nil:
		s = w.begin(ln, d, hash, st)
	case !w.fits(s, st):
		w.stats.Moved++
		s = w.move(s, st)
	}
	if s == nil {
		w.stats.Refused += uint64(d.Count())
		return
	}
	l := w.lanes[s.lane]
	s.active = w.loop.Now()
	l.touch(&w.table, s)
	if l.asked == 0 {
		l.asked = s.active
	}
	s.count.up += uint64(len(d.Data))
	s.asked += uint64(d.Count())
	w.note(s.client.AddrPort().Addr(), int(s.server), d)
	w.forward(&w.ups[s.up], d, &s.to)
}

// forward sends d to a server.
func (w *Worker) forward(u *up, d *sock.Datagram, to *sock.Endpoint) {
	w.out = sock.Datagram{Data: d.Data, Segment: d.Segment}
	if u.pool != nil {
		w.out.Remote = *to
	}
	w.loop.Transmit(u.sock, &w.out)
}

// fromServer hands d, which has come to up-socket i, to the client whose session it belongs to.
func (w *Worker) fromServer(i int32, d *sock.Datagram, st *settings.Settings) {
	s := w.table.findUp(w.hashUp(i, &d.Remote), i, &d.Remote)
	switch {
	case s == nil:
		if d.Err == 0 {
			w.stats.Strays += uint64(d.Count())
		}
		return
	case d.Err != 0:
		w.proxy.Debugf(1, "server %d: %v", s.server, d.Err)
		w.blame(int(s.server), st)
		return
	}
	w.proxy.Show(st, d.Data)
	l := w.lanes[s.lane]
	s.active = w.loop.Now()
	l.touch(&w.table, s)
	l.asked = 0
	s.count.down += uint64(len(d.Data))
	s.answers += uint64(d.Count())
	w.out = sock.Datagram{Data: d.Data, Segment: d.Segment, Remote: s.client, Local: s.local}
	w.loop.Transmit(s.down, &w.out)
	if st.UDPResponses > 0 && s.answers >= s.asked*uint64(st.UDPResponses) {
		w.end(s, "answered")
	}
}

// note logs the request d, in the forms that have a line for each.
func (w *Worker) note(from netip.Addr, server int, d *sock.Datagram) {
	if f, on := w.log.Format(); !on || f == accesslog.JSON {
		return
	}
	t := w.proxy.Servers.Target(server)
	w.line = accesslog.Line{Time: w.now(), Client: from, Server: t.Addr, Path: t.Path, Request: d.Data}
	w.log.Add(&w.line)
}

// info describes s.
func (w *Worker) info(s *session) ConnInfo {
	return ConnInfo{Number: w.number(s), DownFD: w.loop.FD(s.down), UpFD: w.loop.FD(w.ups[s.up].sock),
		Client: s.who.Index(), Server: int(s.server)}
}
