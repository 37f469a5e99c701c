package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/testnet"
)

// encrypted is a server that greets with its name, one byte, and echoes, in TLS.
func encrypted(t testing.TB, name byte, cert tls.Certificate) netip.AddrPort {
	t.Helper()
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	return testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		tc := tls.Server(c, conf)
		if _, err := tc.Write([]byte{name}); err != nil {
			return
		}
		_, _ = io.Copy(tc, tc)
		_ = tc.CloseWrite()
	})
}

// secure is a server at a that is spoken to with TLS.
func secure(a netip.AddrPort, name string) balance.Config {
	c := conf(a)
	c.TLS = balance.TLS{CA: "ca.pem", Name: name}
	return c
}

func poolOf(certs ...tls.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c.Leaf)
	}
	return p
}

// TestServerTLS: what is plain, or encrypted, on one side is encrypted on the other, counted and closed like the rest.
func TestServerTLS(t *testing.T) {
	cert := issue(t, time.Hour)
	ended, client := pass(t)
	eachEngine(t, func(t *testing.T, engine string) {
		for _, both := range []bool{false, true} {
			u := setup{engine: engine, trust: poolOf(cert), set: func(s *settings.Settings) { s.Rules.RoundRobin = true },
				servers: []balance.Config{conf(serve(t, 'p').addr), secure(encrypted(t, 'a', cert), "site.test")}}
			if both {
				u.tls = ended
			}
			r := start(t, u)
			for _, want := range []byte{'a', 'p'} { // TLS and plain side by side; in turn, from 1 on
				var c interface {
					net.Conn
					CloseWrite() error
				} = r.dial(0)
				if both {
					c = encrypt(t, c, client)
				}
				if got := who(t, c); got != want {
					t.Fatalf("got server %q instead of %q", got, want)
				}
				sent := make([]byte, 8<<20)
				rand.Read(sent)
				go func() {
					_, _ = c.Write(sent)
					_ = c.CloseWrite()
				}()
				got, err := io.ReadAll(struct{ io.Reader }{c})
				if err != nil || string(got) != string(sent) {
					t.Fatalf("what came back from %q differs, or %v", want, err)
				}
				c.Close()
			}
			r.p.Sync()
			if up, down := r.p.Servers.Traffic(1); up != 8<<20 || down != 8<<20+1 {
				t.Errorf("counted %d up, %d down", up, down)
			}
		}
	})
}

// TestServerTLSFailover: a server that cannot prove who it is, or does not answer, is one that failed.
func TestServerTLSFailover(t *testing.T) {
	cert, stranger, expired := issue(t, time.Hour), issue(t, time.Hour), issue(t, -time.Hour)
	silent := testnet.Serve(t, testnet.Loopback(t), testnet.Stall(0))
	tests := []struct {
		name   string
		server balance.Config
		logged string
	}{
		{"wrong authority", secure(encrypted(t, 'x', stranger), "site.test"), "unknown authority"},
		{"wrong name", secure(encrypted(t, 'x', cert), "other.test"), "not other.test"},
		{"expired", secure(encrypted(t, 'x', expired), "site.test"), "expired"},
		{"plain", secure(serve(t, 'x').addr, "site.test"), "first record does not look like a TLS handshake"},
		{"silent", secure(silent, "site.test"), ""},
	}
	eachEngine(t, func(t *testing.T, engine string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var mu sync.Mutex
				var told []string
				good := secure(encrypted(t, 'g', cert), "") // by its address
				r := start(t, setup{engine: engine, trust: poolOf(cert, expired), servers: []balance.Config{good, tt.server},
					set: func(s *settings.Settings) { s.ConnectTimeout = time.Second },
					logf: func(f string, args ...any) {
						mu.Lock()
						defer mu.Unlock()
						told = append(told, fmt.Sprintf(f, args...))
					}})
				c := r.dial(0)
				if got := who(t, c); got != 'g' {
					t.Errorf("got server %q", got)
				}
				if !r.blacklisted(1) || r.blacklisted(0) || r.p.Servers.Conns(1) != 0 || r.p.Servers.Conns(0) != 1 {
					t.Error("not as after a failed connect")
				}
				c.Close()
				mu.Lock()
				defer mu.Unlock()
				if tt.logged != "" && (len(told) != 1 || !strings.Contains(told[0], tt.logged)) {
					t.Errorf("told %q", told)
				}
			})
		}
	})
}

// TestServerTLSUnprepared: a server that wants TLS is never spoken to in plain.
func TestServerTLSUnprepared(t *testing.T) {
	r := start(t, setup{servers: []balance.Config{secure(serve(t, 'x').addr, "site.test")}})
	if got := who(t, r.dial(0)); got != 0 || !r.blacklisted(0) {
		t.Errorf("got server %q", got)
	}
}

// TestServerTLSIdlers: connections without client make the handshake too.
func TestServerTLSIdlers(t *testing.T) {
	cert := issue(t, time.Hour)
	r := start(t, setup{trust: poolOf(cert), servers: []balance.Config{secure(encrypted(t, 'a', cert), "site.test")},
		set: func(s *settings.Settings) { s.Idlers = 3 }})
	await(t, "three idlers", func() bool { return r.p.Idlers() == 3 })
	bad := start(t, setup{trust: poolOf(), servers: []balance.Config{secure(encrypted(t, 'a', cert), "site.test")},
		set: func(s *settings.Settings) { s.Idlers = 1 }})
	await(t, "the end of trust", func() bool { return bad.blacklisted(0) })
	if n := bad.p.Idlers(); n != 0 {
		t.Errorf("%d idlers to a stranger", n)
	}
}

// TestServerTLSClosed: a handshake with a server is a connection under way, which can be closed.
func TestServerTLSClosed(t *testing.T) {
	silent := testnet.Serve(t, testnet.Loopback(t), testnet.Stall(0))
	eachEngine(t, func(t *testing.T, engine string) {
		r := start(t, setup{engine: engine, trust: poolOf(), servers: []balance.Config{secure(silent, "site.test")},
			set: func(s *settings.Settings) { s.ConnectTimeout = time.Hour }})
		c := r.dial(0)
		await(t, "a connection", func() bool { ci, ok := r.p.Conn(0); return ok && ci.State == 1 && ci.UpFD != 0 })
		if r.p.pending.Load() != 1 {
			t.Errorf("%d connects under way", r.p.pending.Load())
		}
		r.p.CloseConn(0)
		if got := who(t, c); got != 0 {
			t.Errorf("got server %q", got)
		}
	})
}
