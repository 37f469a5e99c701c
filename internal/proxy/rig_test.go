package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

// patience bounds every wait of a test.
const patience = 15 * time.Second

// setup is how a rig shall be. Zero fields mean what pen starts with.
type setup struct {
	engine   string
	workers  int // 0: 2
	servers  []balance.Config
	maxConns int // 0: 1000
	set      func(*settings.Settings)
	logf     func(format string, args ...any)
	tls      *tls.Config
	trust    *x509.CertPool // of servers with TLS; nil: none is spoken to
}

// rig is a proxy on running loops. Each worker listens on a port of its own, so that a test knows where its clients
// are.
type rig struct {
	t     testing.TB
	p     *Proxy
	acl   *acl.Table
	log   *sink.Log
	addrs []string // by worker
	lists []*sock.Listener
	loops []ring.Loop
}

// eachEngine runs a test on every engine that works here.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if a.OK {
			t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
		} else {
			t.Logf("not on %s: %s", a.Name, a.Reason)
		}
	}
}

// newProxy is a proxy without workers, whose log has as many producers.
func newProxy(t testing.TB, u setup) (p *Proxy, lists *acl.Table, log *sink.Log) {
	t.Helper()
	st := settings.Default()
	if u.set != nil {
		u.set(&st)
	}
	if u.logf == nil {
		u.logf = func(string, ...any) {}
	}
	lists, log = new(acl.Table), sink.New(u.workers, u.logf)
	servers := balance.New(lists)
	for i, c := range u.servers {
		if err := servers.Update(i, func(to *balance.Config) { *to = c }); err != nil {
			t.Fatal(err)
		}
	}
	var serverTLS func(int, *balance.Config) *tls.Config
	if u.trust != nil {
		serverTLS = func(_ int, c *balance.Config) *tls.Config {
			return &tls.Config{RootCAs: u.trust, ServerName: c.ServerName()}
		}
	}
	return New(Config{MaxConns: u.maxConns, TLS: u.tls, ServerTLS: serverTLS, Config: crew.Config{
		Settings: settings.NewStore(st), Servers: servers, Clients: client.New(st.ClientsMax), ACL: lists, Log: log,
		Logf: u.logf, Debugf: func(int, string, ...any) {}, Dump: func([]byte) {}}}), lists, log
}

// start starts a rig. At the end of the test it must have given back everything, once the clients have gone.
func start(t testing.TB, u setup) *rig {
	t.Helper()
	u.workers, u.maxConns = or(u.workers, 2), or(u.maxConns, 1000)
	r := &rig{t: t}
	r.p, r.acl, r.log = newProxy(t, u)
	for range u.workers {
		l, err := ring.Open(u.engine, ring.Options{MultiAccept: 8})
		if err != nil {
			t.Fatal(err)
		}
		w := r.p.NewWorker(l, 4)
		if err := w.Listen(r.listen()); err != nil {
			t.Fatal(err)
		}
		r.loops = append(r.loops, l)
	}
	var running sync.WaitGroup
	for _, l := range r.loops {
		running.Go(func() {
			if err := l.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	r.p.Refresh()
	t.Cleanup(func() {
		if !t.Failed() {
			r.balanced()
		}
		for _, l := range r.loops {
			l.Stop()
		}
		running.Wait()
		for _, w := range r.p.workers.All() {
			w.Close()
		}
		for _, l := range r.lists {
			l.Close()
		}
		if err := r.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func or(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// listen opens a listener, which the rig closes at its end.
func (r *rig) listen() *sock.Listener {
	r.t.Helper()
	ln, err := sock.Listen(&sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, &sock.ListenOptions{NoDelay: true})
	if err != nil {
		r.t.Fatal(err)
	}
	a := ln.Addr()
	r.lists = append(r.lists, ln)
	r.addrs = append(r.addrs, a.String())
	return ln
}

// set changes the settings as a command does.
func (r *rig) set(f func(*settings.Settings)) {
	r.p.Settings.Update(f)
	r.p.Refresh()
}

// await waits until f holds.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// balanced wants nothing to be left of the sessions once all clients are gone. Idlers are ended first.
func (r *rig) balanced() {
	r.t.Helper()
	r.set(func(s *settings.Settings) { s.Idlers = 0 })
	var left string
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if left = r.left(); left == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("left over: %s", left)
		}
	}
}

// left tells what the proxy holds beside its listeners; "" if nothing.
func (r *rig) left() (left string) {
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		left += fmt.Sprintf(format, args...) + "; "
	}
	r.p.workers.Each(func(w *Worker) { w.left(say) })
	r.p.left(say)
	return left
}

func (w *Worker) left(say func(format string, args ...any)) {
	n := 0
	for _, ln := range w.listeners {
		if ln != nil && ln.accepting {
			n++
		}
	}
	if st := w.loop.Stats(); st.Socks != n || st.Pending != n || st.Bufs != 0 || st.Timers != 0 {
		say("loop %d: %+v", w.index, st)
	}
	if _, used := w.pump.Pipes(); used != 0 {
		say("%d pipes", used)
	}
	if w.slab.n != 0 || len(w.parked) != 0 || len(w.starved) != 0 || w.dirty != 0 || w.gated.Load() {
		say("worker %d: %d sessions, parked %d, starved %d, dirty %d, gated %v", w.index, w.slab.n, len(w.parked),
			len(w.starved), w.dirty, w.gated.Load())
	}
}

func (p *Proxy) left(say func(format string, args ...any)) {
	if n := p.Conns(); n != 0 {
		say("%d numbers", n)
	}
	if n := p.pending.Load(); n != 0 {
		say("%d connects", n)
	}
	if n := p.gated.Load(); n != 0 {
		say("%d gated", n)
	}
	for i := balance.Abuse; i < p.Servers.Len(); i++ {
		if i != balance.None && p.Servers.Conns(i) != 0 {
			say("%d places on server %d", p.Servers.Conns(i), i)
		}
	}
}

// dial connects a client to worker i, from an address if one is given.
func (r *rig) dial(i int, from ...string) *net.TCPConn {
	r.t.Helper()
	c, err := dialFrom(r.addrs[i], from...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func dialFrom(addr string, from ...string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	for _, f := range from {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(f)}
	}
	c, err := d.Dial("tcp4", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn), nil
}

// who is the server that c got: its greeting of one byte. It is 0 if the connection was closed instead.
func who(t testing.TB, c net.Conn) byte {
	t.Helper()
	b := make([]byte, 1)
	switch _, err := io.ReadFull(c, b); {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return 0
	case err != nil:
		t.Fatal(err)
	}
	return b[0]
}

// waits reports whether c is kept waiting for its greeting.
func waits(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// ask sends msg over c and wants it back.
func ask(t testing.TB, c net.Conn, msg string) {
	t.Helper()
	if _, err := io.WriteString(c, msg); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != msg {
		t.Fatalf("%q, %v; want %q", got, err, msg)
	}
}

// server greets with its name, one byte, and echoes. It counts its connections.
type server struct {
	now, most, all atomic.Int32
	addr           netip.AddrPort
}

func serve(t testing.TB, name byte) *server {
	t.Helper()
	s := &server{}
	s.addr = testnet.Serve(t, testnet.Loopback(t), func(ctx context.Context, c *net.TCPConn) {
		n := s.now.Add(1)
		defer s.now.Add(-1)
		s.all.Add(1)
		for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
		}
		_, _ = c.Write([]byte{name})
		testnet.Echo()(ctx, c)
	})
	return s
}

// conf is a server at a.
func conf(a netip.AddrPort) balance.Config { return balance.Config{Addr: a.Addr(), Port: a.Port()} }

// confs are servers without limits.
func confs(as ...netip.AddrPort) (cs []balance.Config) {
	for _, a := range as {
		cs = append(cs, conf(a))
	}
	return cs
}

// refusing is an address where nobody listens.
func refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	l := testnet.Loopback(t)
	l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// update changes server i.
func (r *rig) update(i int, f func(*balance.Config)) {
	r.t.Helper()
	if err := r.p.Servers.Update(i, f); err != nil {
		r.t.Fatal(err)
	}
}

// now is the time of the policy.
func (r *rig) now() int64 { return time.Now().UnixNano() }

func (r *rig) blacklisted(i int) bool {
	return !r.p.Servers.Available(&r.p.Settings.Get().Rules, i, r.now())
}
