package ringtest

import (
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

var acceptCases = []testCase{
	{"multishot", acceptMultishot},
	{"again after cancel", acceptAgain},
	{"peer and local address", acceptAddresses},
	{"ipv6", acceptIPv6},
	{"unix", acceptUnix},
	{"listener outlives the loop's close", acceptDetach},
	{"two listeners", acceptTwo},
}

func acceptMultishot(r *rig) {
	l := r.listen("127.0.0.1", nil)
	ls := r.attach(l)
	at := r.accept(ls)
	const n = 150 // more than one turn takes
	seen := make(map[ring.Sock]bool)
	for range n {
		r.dial(l)
	}
	for range n {
		res := r.expect(at)
		if !res.More || res.Op != ring.OpAccept || res.Err != 0 || res.Sock == 0 || seen[res.Sock] {
			r.t.Fatalf("completion %+v", res.Completion)
		}
		seen[res.Sock] = true
	}
	r.quiet(at)
	r.cancel(ls, ring.OpAccept)
	if res := r.final(at, syscall.ECANCELED); res.Sock != 0 {
		r.t.Errorf("final completion has socket %#x", res.Sock)
	}
	for s := range seen {
		r.close(s)
	}
	r.balanced(1)
	r.close(ls)
	r.balanced(0)
}

func acceptAgain(r *rig) {
	l := r.listen("127.0.0.1", nil)
	ls := r.attach(l)
	for range 3 {
		at := r.accept(ls)
		r.cancel(ls, ring.OpAccept)
		r.final(at, syscall.ECANCELED)
	}
	c := r.dial(l) // waits in the queue while nobody accepts
	at := r.accept(ls)
	s := r.expect(at).Sock
	st := r.send(s, []byte("hello"))
	r.final(st, 0)
	expectRead(r.t, c, "hello")
}

func acceptAddresses(r *rig) {
	l := r.listen("127.0.0.1", nil)
	at := r.accept(r.attach(l))
	c := r.dial(l)
	checkAddresses(r, r.expect(at).Sock, c)
}

func acceptIPv6(r *rig) {
	l := r.listen("::1", nil)
	at := r.accept(r.attach(l))
	c := r.dial(l)
	checkAddresses(r, r.expect(at).Sock, c)
}

// checkAddresses compares the addresses of s with those that the peer sees.
func checkAddresses(r *rig, s ring.Sock, c net.Conn) {
	r.t.Helper()
	var peer, local netip.AddrPort
	r.do(func() { peer, local = r.l.Peer(s), r.l.Local(s) })
	if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); peer != want {
		r.t.Errorf("Peer = %v, want %v", peer, want)
	}
	if want := c.RemoteAddr().(*net.TCPAddr).AddrPort(); local != want {
		r.t.Errorf("Local = %v, want %v", local, want)
	}
}

func acceptUnix(r *rig) {
	l := r.listenUnix(nil)
	ls := r.attach(l)
	at := r.accept(ls)
	c := r.dial(l)
	s := r.expect(at).Sock
	var peer, local netip.AddrPort
	r.do(func() { peer, local = r.l.Peer(s), r.l.Local(s) })
	if peer.IsValid() || local.IsValid() {
		r.t.Errorf("addresses %v and %v, want none", peer, local)
	}
	rt := r.recv(s)
	c.Write([]byte("over the file system"))
	if res := r.expect(rt); string(res.data) != "over the file system" {
		r.t.Errorf("received %q", res.data)
	}
	c.(*net.UnixConn).CloseWrite()
	r.final(rt, 0)
	r.final(r.send(s, []byte("and back")), 0)
	expectRead(r.t, c, "and back")
	r.close(s)
	r.close(ls)
	r.final(at, syscall.ECANCELED)
	r.balanced(0)
}

// listenUnix opens a listener on a Unix socket.
func (r *rig) listenUnix(o *sock.ListenOptions) *sock.Listener {
	r.t.Helper()
	l, err := sock.Listen(&sock.Addr{Path: filepath.Join(r.t.(*testing.T).TempDir(), "s")}, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	return l
}

func acceptDetach(r *rig) {
	l := r.listen("127.0.0.1", nil)
	for range 2 {
		ls := r.attach(l)
		at := r.accept(ls)
		r.dial(l)
		r.close(r.expect(at).Sock)
		r.close(ls)
		r.final(at, syscall.ECANCELED)
	}
	r.balanced(0)
}

func acceptTwo(r *rig) {
	l1, l2 := r.listen("127.0.0.1", nil), r.listen("127.0.0.1", nil)
	at1, at2 := r.accept(r.attach(l1)), r.accept(r.attach(l2))
	r.dial(l2)
	r.expect(at2)
	r.quiet(at1)
	r.dial(l1)
	r.expect(at1)
}
