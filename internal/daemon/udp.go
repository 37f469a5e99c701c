package daemon

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/datagram"
	"github.com/penlb/pen/internal/proxy"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// listenBuffer is the receive buffer of a listener, in bytes. The system's default, 208 KB, is full after a burst of
// 250 datagrams; this one holds 5000.
const listenBuffer = 4 << 20

// udpSide is the daemon with -U: sessions of datagrams in place of connections.
type udpSide struct {
	*datagram.Proxy
	loops     []ring.Loop
	workers   []*datagram.Worker
	listeners []*sock.DatagramSocket // one per loop, or one for all
}

func newUDP(shared crew.Config) *udpSide {
	return &udpSide{Proxy: datagram.New(datagram.Config{Config: shared})}
}

func (u *udpSide) addLoop(l ring.Loop) {
	u.loops = append(u.loops, l)
	u.workers = append(u.workers, u.NewWorker(l))
}

// open opens the listeners at a.
func (u *udpSide) open(a *sock.Addr) (err error) {
	u.listeners, err = u.listen(a)
	return err
}

func (u *udpSide) listen(a *sock.Addr) (ls []*sock.DatagramSocket, err error) {
	if a.IsUnix() {
		return nil, fmt.Errorf("listen %s: -U takes an IP address and port, for UDP knows no paths", a)
	}
	o := &sock.DatagramOptions{Bind: a.AddrPort, Buffer: listenBuffer, Coalesce: true}
	n := 1
	if sock.CanReusePort {
		n = len(u.loops)
		if l, err := sock.ListenDatagram(o); errors.Is(err, syscall.EADDRINUSE) {
			u.Logf("another process listens on %s as well: the kernel shares the datagrams among us", a)
		} else if err == nil {
			l.Close()
		}
		o.ReusePort = true
	}
	for range n {
		l, err := sock.ListenDatagram(o)
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			return nil, bindError(a, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// lowPort reports whether a listener has a port that is for the privileged.
func (u *udpSide) lowPort() bool {
	for _, l := range u.listeners {
		if a := l.Addr(); a.AddrPort.Port() < 1024 {
			return true
		}
	}
	return false
}

// start begins to receive, before the loops run. Conns is how many connections of two descriptors would be possible.
func (u *udpSide) start(conns int) error {
	u.MaxSocks = 2 * conns
	if !u.loops[0].HasFD() {
		u.MaxSocks = conns // package net keeps a second descriptor of each
	}
	for i, w := range u.workers {
		if i < len(u.listeners) {
			if err := w.Listen(u.listeners[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// move receives at a from now on. Sessions on the old listeners end: their clients wait for answers from there.
func (u *udpSide) move(a *sock.Addr) error {
	ls, err := u.listen(a)
	if err != nil {
		return err
	}
	old := u.listeners
	var wg sync.WaitGroup
	for i, w := range u.workers {
		if i >= len(ls) {
			break
		}
		wg.Add(1)
		if !u.loops[i].Post(func() {
			if err := w.Listen(ls[i]); err != nil {
				u.Logf("listen %s on loop %d: %v", a, i, err)
			}
			w.Unlisten(old[i], wg.Done)
		}) {
			wg.Done()
		}
	}
	wg.Wait()
	for _, l := range old {
		l.Close()
	}
	u.listeners = ls
	return nil
}

func (u *udpSide) close() {
	for _, w := range u.workers {
		w.Close()
	}
	for _, l := range u.listeners {
		l.Close()
	}
}

// flows is what carries the traffic, TCP or UDP.
type flows interface {
	Sync()
	Refresh()
	Conns() int
	Current() int
	Idlers() int
	Conn(n int) (proxy.ConnInfo, bool)
	CloseConn(n int) bool
	All() []proxy.ConnInfo
}

func (d *Daemon) flows() flows {
	if d.udp != nil {
		return d.udp
	}
	return d.proxy
}

// connRange is what numbers of connections are below.
func (d *Daemon) connRange() int {
	n := d.store.Get().ConnMax
	if d.udp != nil && d.serving.Load() {
		n = max(n, d.udp.Limit()*len(d.udp.workers))
	}
	return n
}

// Idlers is 0: there is nothing to keep open.
func (u *udpSide) Idlers() int { return 0 }

// Conn describes session n as a connection.
func (u *udpSide) Conn(n int) (proxy.ConnInfo, bool) {
	c, ok := u.Proxy.Conn(n)
	return connInfo(c), ok
}

// All describes all sessions as connections.
func (u *udpSide) All() []proxy.ConnInfo {
	var all []proxy.ConnInfo
	for _, c := range u.Proxy.All() {
		all = append(all, connInfo(c))
	}
	return all
}

// connInfo is c as a connection, which is connected from its beginning.
func connInfo(c datagram.ConnInfo) proxy.ConnInfo {
	return proxy.ConnInfo{Number: c.Number, State: 2, DownFD: c.DownFD, UpFD: c.UpFD, Client: c.Client, Server: c.Server}
}

// UDP implements control.Runtime.
func (d *Daemon) UDP() []control.Counter {
	if d.udp == nil || !d.serving.Load() {
		return nil
	}
	s := d.udp.Stats()
	return []control.Counter{
		{Name: "sessions", Value: uint64(s.Sessions)},
		{Name: "sessions_max", Value: uint64(d.udp.Limit())},
		{Name: "up_sockets", Value: uint64(s.UpSocks)},
		{Name: "began", Value: s.Began},
		{Name: "replaced", Value: s.Replaced},
		{Name: "moved", Value: s.Moved},
		{Name: "refused_datagrams", Value: s.Refused},
		{Name: "stray_datagrams", Value: s.Strays},
		{Name: "sent_datagrams", Value: s.Sent},
		{Name: "lost_datagrams", Value: s.Lost},
		{Name: "dropped_datagrams", Value: s.Dropped},
	}
}
