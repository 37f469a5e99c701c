package ringtest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

var datagramCases = []testCase{
	{"echo", gramEcho},
	{"echo from the address that was asked", gramWildcard},
	{"all of a burst", gramBurst},
	{"cancel and again", gramCancel},
	{"connected to a peer", gramPeer},
	{"transmit, then close at once", gramClose},
	{"close while the other side has more", gramCloseFull},
	{"attached stays open", gramDetach},
	{"out of reach", gramUnreachable},
	{"train", gramTrain},
	{"more at once than there is memory for", gramFlood},
	{"out of reach, heard while sending", gramUnreachableBusy},
	{"idle without turning", gramIdle},
}

func cloneDatagrams(ds []sock.Datagram) []sock.Datagram {
	out := make([]sock.Datagram, len(ds))
	for i, d := range ds {
		out[i] = d
		out[i].Data = bytes.Clone(d.Data)
	}
	return out
}

// openGrams opens a UDP socket of the loop at ip.
func (r *rig) openGrams(o sock.DatagramOptions) (s ring.Sock) {
	r.t.Helper()
	r.do(func() {
		var err error
		if s, err = r.l.OpenDatagrams(&o); err != nil {
			r.t.Errorf("open: %v", err)
		}
	})
	return s
}

func (r *rig) receive(s ring.Sock) ring.Token {
	t := r.token()
	r.do(func() { r.l.Receive(s, t) })
	return t
}

func (r *rig) local(s ring.Sock) (a netip.AddrPort) {
	r.do(func() { a = r.l.Local(s) })
	return a
}

// mirror answers everything on s; its Receive ends with ended.
func (r *rig) mirror(s ring.Sock) (ended chan syscall.Errno) {
	ended = make(chan syscall.Errno, 1)
	t := r.hooked(func(c *ring.Completion) {
		if !c.More {
			ended <- c.Err
			return
		}
		if ds := r.l.Datagrams(); len(ds) != c.N || c.N == 0 {
			r.t.Errorf("N = %d with %d datagrams", c.N, len(ds))
		}
		for i := range r.l.Datagrams() {
			r.l.Transmit(s, &r.l.Datagrams()[i])
		}
	})
	r.do(func() { r.l.Receive(s, t) })
	return ended
}

// peerTo is a UDP socket of package net that talks to a.
func (r *rig) peerTo(a netip.AddrPort) *net.UDPConn {
	r.t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func (r *rig) ask(c *net.UDPConn, data []byte) {
	r.t.Helper()
	got := make([]byte, 1<<16)
	c.Write(data)
	if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], data) {
		r.t.Fatalf("answer of %d bytes to %d, %v", n, len(data), err)
	}
}

func options(bind string) sock.DatagramOptions {
	return sock.DatagramOptions{Bind: netip.MustParseAddrPort(bind)}
}

// largest is the largest datagram that all systems send by default: macOS stops at 9216 bytes.
const largest = 9216

func gramEcho(r *rig) {
	for _, bind := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := r.openGrams(options(bind))
		ended := r.mirror(s)
		c := r.peerTo(r.local(s))
		for _, n := range []int{1, 0, 100, 1400, largest, 3} {
			r.ask(c, noise(n))
		}
		if runtime.GOOS == "linux" {
			r.ask(c, noise(65507))
		}
		r.cancel(s, ring.OpReceive)
		if e := <-ended; e != syscall.ECANCELED {
			r.t.Errorf("ended with %v", e)
		}
		r.close(s)
	}
	r.balanced(0)
}

func gramWildcard(r *rig) {
	if runtime.GOOS != "linux" {
		return // another address of 127/8 exists nowhere else
	}
	o := options("0.0.0.0:0")
	s := r.openGrams(o)
	r.mirror(s)
	for i := range 5 {
		c := r.peerTo(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 2)}), r.local(s).Port()))
		r.ask(c, []byte("who are you")) // a connected socket takes nothing from another address
	}
	r.close(s)
}

// gramBurst sends more than a batch at once, so that it takes several turns, and memory is used again.
func gramBurst(r *rig) {
	o := options("127.0.0.1:0")
	o.Buffer = 1 << 20
	s := r.openGrams(o)
	c := r.peerTo(r.local(s))
	const n = 150
	for i := range n {
		fmt.Fprintf(c, "number %d", i)
	}
	t := r.receive(s)
	for i := 0; i < n; {
		res := r.expect(t)
		if !res.More || res.N != len(res.grams) || res.N == 0 {
			r.t.Fatalf("completion %+v", res.Completion)
		}
		for _, d := range res.grams {
			if want := fmt.Sprintf("number %d", i); string(d.Data) != want || d.Remote.AddrPort() != c.LocalAddr().(*net.UDPAddr).AddrPort() {
				r.t.Fatalf("%q from %v, want %q", d.Data, d.Remote.AddrPort(), want)
			}
			i++
		}
	}
	r.close(s)
	r.final(t, syscall.ECANCELED)
	r.balanced(0)
}

func gramCancel(r *rig) {
	s := r.openGrams(options("127.0.0.1:0"))
	c := r.peerTo(r.local(s))
	for i := range 5 {
		t := r.receive(s)
		r.cancel(s, ring.OpReceive)
		r.final(t, syscall.ECANCELED)
		r.cancel(s, ring.OpReceive)
		c.Write([]byte{byte(i)})
		t = r.receive(s)
		if res := r.expect(t); res.N != 1 || res.grams[0].Data[0] != byte(i) {
			r.t.Fatalf("received %+v", res)
		}
		r.cancel(s, ring.OpReceive)
		r.final(t, syscall.ECANCELED)
	}
	r.balanced(1)
}

func gramPeer(r *rig) {
	sv := r.openGrams(options("127.0.0.1:0"))
	r.mirror(sv)
	o := options("127.0.0.1:0")
	o.Peer = r.local(sv)
	up := r.openGrams(o)
	down := r.openGrams(options("127.0.0.1:0"))
	t := r.hooked(func(c *ring.Completion) {
		if c.More {
			d := r.l.Datagrams()[0]
			d.Remote, d.Local = sock.Endpoint{}, sock.Endpoint{}
			r.l.Transmit(up, &d)
		}
	})
	r.do(func() { r.l.Receive(down, t) })
	ut := r.receive(up)
	c := r.peerTo(r.local(down))
	for _, m := range []string{"one", "two"} {
		c.Write([]byte(m))
		if res := r.expect(ut); string(res.grams[0].Data) != m || res.grams[0].Remote.AddrPort() != o.Peer {
			r.t.Fatalf("%+v", res.grams)
		}
	}
}

func gramClose(r *rig) {
	sv := r.openGrams(options("127.0.0.1:0"))
	c := r.peerTo(r.local(sv))
	closed := r.token()
	t := r.hooked(func(co *ring.Completion) {
		if co.More {
			r.l.Transmit(sv, &r.l.Datagrams()[0])
			r.l.Close(sv, closed)
		}
	})
	r.do(func() { r.l.Receive(sv, t) })
	r.ask(c, []byte("last words"))
	r.final(closed, 0)
	r.balanced(0)
}

func gramCloseFull(r *rig) {
	for range 20 {
		s := r.openGrams(options("127.0.0.1:0"))
		c := r.peerTo(r.local(s))
		closed := r.token()
		ended := make(chan syscall.Errno, 1)
		t := r.hooked(func(co *ring.Completion) {
			if !co.More {
				ended <- co.Err
			} else {
				r.l.Close(s, closed)
			}
		})
		for range 10 {
			c.Write([]byte("x"))
		}
		r.do(func() { r.l.Receive(s, t) })
		r.final(closed, 0)
		if e := <-ended; e != syscall.ECANCELED {
			r.t.Errorf("ended with %v", e)
		}
	}
	r.balanced(0)
}

func gramDetach(r *rig) {
	o := options("127.0.0.1:0")
	d, err := sock.ListenDatagram(&o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { d.Close() })
	if runtime.GOOS == "windows" {
		return // where the socket is that of package net, and closed with it
	}
	a := d.Addr()
	c := r.peerTo(a.AddrPort)
	for range 2 {
		var s ring.Sock
		r.do(func() { s, err = r.l.AttachDatagrams(d) })
		if err != nil {
			r.t.Fatal(err)
		}
		r.mirror(s)
		r.ask(c, []byte("hello"))
		r.close(s)
	}
	r.balanced(0)
}

// gramUnreachable has a connected socket hear that nobody is there.
func gramUnreachable(r *rig) {
	if runtime.GOOS == "windows" {
		return
	}
	dead := r.openGrams(options("127.0.0.1:0"))
	o := options("127.0.0.1:0")
	o.Peer, o.Unreachable = r.local(dead), true
	r.close(dead)
	up := r.openGrams(o)
	down := r.openGrams(options("127.0.0.1:0"))
	t := r.hooked(func(c *ring.Completion) {
		if c.More {
			d := r.l.Datagrams()[0]
			d.Remote, d.Local = sock.Endpoint{}, sock.Endpoint{}
			r.l.Transmit(up, &d)
		}
	})
	r.do(func() { r.l.Receive(down, t) })
	ut := r.receive(up)
	c := r.peerTo(r.local(down))
	for range 3 {
		c.Write([]byte("is anybody there"))
		if res := r.expect(ut); !res.More || res.grams[0].Err != syscall.ECONNREFUSED || res.grams[0].Remote.AddrPort() != o.Peer {
			r.t.Fatalf("%+v", res)
		}
	}
}

func gramTrain(r *rig) {
	if runtime.GOOS != "linux" {
		return
	}
	o := options("127.0.0.1:0")
	o.Coalesce = true
	down, up, end := r.openGrams(o), r.openGrams(o), r.openGrams(o)
	to := sock.EndpointOf(r.local(end))
	t := r.hooked(func(c *ring.Completion) {
		if c.More {
			d := r.l.Datagrams()[0]
			if d.Remote.AddrPort() != r.l.Local(up) {
				d.Segment = 1000 // from here on it is a train
			}
			d.Remote, d.Local = to, sock.Endpoint{}
			r.l.Transmit(up, &d)
		}
	})
	r.do(func() { r.l.Receive(down, t) })
	et := r.receive(end)
	data := noise(5500)
	r.peerTo(r.local(down)).Write(data)
	res := r.expect(et)
	if d := &res.grams[0]; d.Count() != 6 || d.Segment != 1000 || !bytes.Equal(d.Data, data) {
		r.t.Fatalf("%d bytes in segments of %d", len(d.Data), d.Segment)
	}
}

// gramIdle has the loop wait with a Receive pending, after one that had much, and with data that nobody wants.
func gramIdle(r *rig) {
	s := r.openGrams(options("127.0.0.1:0"))
	c := r.peerTo(r.local(s))
	still := func(what string) {
		r.t.Helper()
		var before ring.Stats
		t := r.token()
		r.do(func() { before = r.l.Stats(); r.l.After(50*time.Millisecond, t) })
		r.final(t, 0)
		r.do(func() {
			if n := r.l.Stats().Turns - before.Turns; n > 20 {
				r.t.Errorf("%d turns %s", n, what)
			}
		})
	}
	t := r.receive(s)
	for range 40 {
		c.Write([]byte("x"))
	}
	for n := 0; n < 40; {
		n += r.expect(t).N
	}
	still("with nothing to receive")
	r.cancel(s, ring.OpReceive)
	r.final(t, syscall.ECANCELED)
	c.Write([]byte("x"))
	still("with something that nobody wants")
}

// gramFlood has many sockets receive more in one turn than a loop takes, among them what fills the largest slot.
func gramFlood(r *rig) {
	const socks, each = 60, 8
	sizes := [each]int{1, 1400, 0, largest, 100, 3, largest, 7}
	counts := make(map[ring.Sock]int)
	all := make(chan struct{})
	left := socks * each
	var list [socks]ring.Sock
	for i := range list {
		o := options("127.0.0.1:0")
		o.Buffer = 1 << 20
		list[i] = r.openGrams(o)
		c := r.peerTo(r.local(list[i]))
		for _, n := range sizes {
			c.Write(noise(n))
		}
	}
	take := func(c *ring.Completion) {
		for i := range r.l.Datagrams() {
			d := &r.l.Datagrams()[i]
			if want := noise(sizes[counts[c.Sock]]); !bytes.Equal(d.Data, want) {
				r.t.Errorf("%d bytes, want %d", len(d.Data), len(want))
			}
			counts[c.Sock]++
			if left--; left == 0 {
				close(all)
			}
		}
	}
	var tokens [socks]ring.Token
	for i := range tokens {
		tokens[i] = r.hooked(take)
	}
	r.do(func() {
		for i, s := range list {
			r.l.Receive(s, tokens[i])
		}
	})
	select {
	case <-all:
	case <-time.After(patience):
		r.do(func() { r.t.Errorf("%d of %d did not come", left, socks*each) })
	}
	for _, s := range list {
		r.close(s)
	}
	r.balanced(0)
}

// gramUnreachableBusy sends to where nobody is and, from the same socket, to where somebody is: the second call hears of
// the first, and so keeps the news from whoever receives.
func gramUnreachableBusy(r *rig) {
	if runtime.GOOS != "linux" {
		return
	}
	dead, live := r.openGrams(options("127.0.0.1:0")), r.openGrams(options("127.0.0.1:0"))
	gone, there := sock.EndpointOf(r.local(dead)), sock.EndpointOf(r.local(live))
	r.close(dead)
	o := options("127.0.0.1:0")
	o.Unreachable = true
	up, down := r.openGrams(o), r.openGrams(options("127.0.0.1:0"))
	t := r.hooked(func(c *ring.Completion) {
		if c.More {
			d := r.l.Datagrams()[0]
			r.l.Transmit(up, &sock.Datagram{Data: d.Data, Remote: gone})
			r.l.Transmit(up, &sock.Datagram{Data: d.Data, Remote: there})
		}
	})
	r.do(func() { r.l.Receive(down, t) })
	ut, lt := r.receive(up), r.receive(live)
	c := r.peerTo(r.local(down))
	for range 3 {
		c.Write([]byte("anybody there"))
		if res := r.expect(ut); !res.More || res.grams[0].Err != syscall.ECONNREFUSED || res.grams[0].Remote != gone {
			r.t.Fatalf("%+v", res)
		}
		if res := r.expect(lt); !res.More || string(res.grams[0].Data) != "anybody there" {
			r.t.Fatalf("%+v", res)
		}
	}
}
