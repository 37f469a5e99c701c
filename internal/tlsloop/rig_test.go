package tlsloop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/splice"
)

func TestMain(m *testing.M) { testnet.Main(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

const (
	classAccept ring.Class = iota + 1
	classFlow
	classOurs
)

// rig is a loop that ends TLS and relays to a server, or begins it, one per engine.
type rig struct {
	t     testing.TB
	loop  *Loop
	pump  *splice.Pump
	addr  string
	conf  *tls.Config // of clients
	to    sock.Addr
	serve *tls.Config
	up    *tls.Config // how to speak with the server; nil: in plain, and TLS with clients
	flows []*flow     // loop only
	ended chan error
	begun atomic.Int32
}

// flow is one connection.
type flow struct {
	rig      *rig
	relay    splice.Relay
	down, up ring.Sock
	token    ring.Token
	open     int
	closing  bool
	why      error
}

func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if !a.OK {
			t.Logf("not on %s: %s", a.Name, a.Reason)
			continue
		}
		t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
	}
}

// newRig starts a loop that ends TLS and relays to to. At its end nothing may be left.
func newRig(t testing.TB, engine string, slots int, to netip.AddrPort) *rig {
	t.Helper()
	return openRig(t, engine, slots, to, nil)
}

// newRigTowards starts a loop that relays plain clients to to, with which it speaks as up says.
func newRigTowards(t testing.TB, engine string, to netip.AddrPort, up *tls.Config) *rig {
	t.Helper()
	return openRig(t, engine, 2, to, up)
}

func openRig(t testing.TB, engine string, slots int, to netip.AddrPort, up *tls.Config) *rig {
	t.Helper()
	l, err := ring.Open(engine, ring.Options{BufSize: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	cert, pool := certificate(t)
	r := &rig{t: t, to: sock.Addr{AddrPort: to}, up: up, ended: make(chan error, 1024),
		conf: &tls.Config{RootCAs: pool, ServerName: "site.test"}, serve: &tls.Config{Certificates: []tls.Certificate{cert}}}
	r.loop = New(l, classOurs, NewSlots(slots), r.secured)
	r.pump = splice.NewPump(r.loop, 16)
	ln, err := sock.Listen(&sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}, &sock.ListenOptions{NoDelay: true})
	if err != nil {
		t.Fatal(err)
	}
	a := ln.Addr()
	r.addr = a.String()
	r.loop.Handle(classAccept, completions(r.accepted))
	r.loop.Handle(classFlow, completions(func(c *ring.Completion) { r.flows[c.Token.Value()].complete(c) }))
	s, err := r.loop.Attach(ln)
	if err != nil {
		t.Fatal(err)
	}
	r.loop.Accept(s, ring.NewToken(classAccept, 0))
	done := make(chan error, 1)
	go func() { done <- r.loop.Run() }()
	t.Cleanup(func() {
		r.settled()
		r.loop.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.loop.Wait()
		r.pump.Close()
		ln.Close()
	})
	return r
}

func (r *rig) accepted(c *ring.Completion) {
	if c.Sock == 0 {
		return
	}
	f := &flow{rig: r, down: c.Sock, open: 1, token: ring.NewToken(classFlow, uint64(len(r.flows)))}
	r.flows = append(r.flows, f)
	r.begun.Add(1)
	if r.up != nil {
		f.connect()
		return
	}
	r.loop.Secure(c.Sock, r.serve, f.token)
}

func (r *rig) secured(t ring.Token, err error) {
	f := r.flows[t.Value()]
	switch {
	case err != nil:
		f.close(err)
	case r.up != nil:
		f.start()
	default:
		f.connect()
	}
}

func (f *flow) start() { f.relay.Start(f.rig.pump, f.down, f.up, f.token, 0) }

func (f *flow) connect() {
	r := f.rig
	var err error
	if f.up, err = r.loop.Connect(&r.to, &sock.Options{NoDelay: true}, f.token); err != nil {
		f.close(err)
		return
	}
	f.open++
}

func (f *flow) complete(c *ring.Completion) {
	switch {
	case f.closing && c.Op == ring.OpClose:
		if f.open--; f.open == 0 {
			f.rig.ended <- f.why
		}
	case f.closing:
		f.relay.Drop(f.rig.pump, c)
	case c.Op == ring.OpConnect:
		if c.Err != 0 {
			f.close(c.Err)
			return
		}
		if f.rig.up != nil {
			f.rig.loop.SecureClient(f.up, f.rig.up, f.token)
			return
		}
		f.start()
	default:
		if f.relay.Complete(f.rig.pump, c) == splice.Done {
			f.close(nil)
		}
	}
}

func (f *flow) close(why error) {
	f.closing, f.why = true, why
	f.relay.Close(f.rig.pump)
	f.rig.loop.Close(f.down, f.token)
	if f.up != 0 {
		f.rig.loop.Close(f.up, f.token)
	}
}

// end waits for a connection to end and returns why.
func (r *rig) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		r.t.Fatal("a connection does not end")
		return nil
	}
}

// do runs f on the loop.
func (r *rig) do(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	if !r.loop.Post(func() { defer close(done); f() }) {
		r.t.Fatal("the loop has ended")
	}
	<-done
}

// settled closes what is open and wants nothing but the listener to be left.
func (r *rig) settled() {
	r.t.Helper()
	left := 0
	r.do(func() {
		for _, f := range r.flows {
			if !f.closing {
				f.close(nil)
			}
			if f.open > 0 {
				left++
			}
		}
	})
	for deadline := time.Now().Add(patience); left > 0 && time.Now().Before(deadline); {
		select {
		case <-r.ended:
		case <-time.After(10 * time.Millisecond):
		}
		r.do(func() {
			left = 0
			for _, f := range r.flows {
				if f.open > 0 {
					left++
				}
			}
		})
	}
	r.do(func() {
		if st := r.loop.Stats(); st.Socks != 1 || st.Bufs != 0 || st.Timers != 0 || st.Pending != 1 {
			r.t.Errorf("left over: %+v", st)
		}
		for _, k := range r.loop.conns {
			if k != nil {
				r.t.Errorf("a connection is left: %v", k.sock)
			}
		}
	})
}

// raw connects without TLS.
func (r *rig) raw() *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp4", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// dial connects with TLS of at most the given version.
func (r *rig) dial(version uint16) *tls.Conn {
	r.t.Helper()
	conf := r.conf.Clone()
	conf.MaxVersion = version
	c := tls.Client(r.raw(), conf)
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// certificate makes one for site.test, and the pool that knows it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"site.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func equal(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived instead of %d, or others", len(got), len(want))
	}
}
