package tlsloop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// newClientRig starts a loop that relays plain clients to a server which speaks TLS, and treats them so.
func newClientRig(t *testing.T, engine string, version uint16, treat func(*tls.Conn)) *rig {
	t.Helper()
	cert, pool := certificate(t)
	serve := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version}
	to := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		tc := tls.Server(c, serve)
		if tc.Handshake() == nil {
			treat(tc)
		}
	})
	return newRigTowards(t, engine, to, &tls.Config{RootCAs: pool, ServerName: "site.test",
		ClientSessionCache: tls.NewLRUClientSessionCache(1)})
}

// Plain text goes to the server encrypted, each way as far and as long as the other lets it.
func TestClient(t *testing.T) {
	request, reply := noise(8<<20), noise(8<<20)
	eachEngine(t, func(t *testing.T, engine string) {
		for name, version := range bothVersions {
			got := make(chan []byte, 1)
			r := newClientRig(t, engine, version, func(c *tls.Conn) {
				var wg sync.WaitGroup
				wg.Go(func() {
					_, _ = c.Write(reply)
					_ = c.CloseWrite()
				})
				b, err := io.ReadAll(c)
				if err != nil {
					t.Errorf("%s: server: %v", name, err)
				}
				got <- b
				wg.Wait()
			})
			c := r.raw()
			go func() {
				_, _ = c.Write(request)
				_ = c.CloseWrite()
			}()
			b, err := io.ReadAll(struct{ io.Reader }{c})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			equal(t, b, reply)
			equal(t, <-got, request)
			if err := r.end(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The client's end reaches the server as close_notify, and what the server says then still arrives.
func TestClientHalfClose(t *testing.T) {
	reply := noise(300_000)
	eachEngine(t, func(t *testing.T, engine string) {
		r := newClientRig(t, engine, tls.VersionTLS13, func(c *tls.Conn) {
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("server: %v", err)
			}
			_, _ = c.Write(reply) // no close_notify follows: a FIN between records has to do
		})
		c := r.raw()
		_, _ = c.Write(noise(100))
		_ = c.CloseWrite()
		b, err := io.ReadAll(struct{ io.Reader }{c})
		if err != nil {
			t.Error(err)
		}
		equal(t, b, reply)
	})
}

// Sessions are resumed with either version.
func TestClientResumes(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for name, version := range bothVersions {
			var resumed atomic.Int32
			r := newClientRig(t, engine, version, func(c *tls.Conn) {
				if c.ConnectionState().DidResume {
					resumed.Add(1)
				}
				_, _ = io.Copy(c, c)
			})
			for range 3 {
				c := r.raw()
				_, _ = c.Write([]byte("x"))
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
				if err := r.end(); err != nil {
					t.Error(err)
				}
			}
			if n := resumed.Load(); n != 2 {
				t.Errorf("%s: %d of 2 sessions were resumed", name, n)
			}
		}
	})
}

// A server that is not who it should be is refused, one that says nonsense or nothing harms nobody.
func TestClientRefuses(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		cert, _ := certificate(t)
		_, others := certificate(t)
		alert := make(chan error, 1)
		to := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			alert <- tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12}).Handshake()
		})
		r := newRigTowards(t, engine, to, &tls.Config{RootCAs: others, ServerName: "site.test"})
		r.raw()
		if _, ok := errors.AsType[*tls.CertificateVerificationError](r.end()); !ok {
			t.Error("the certificate of a stranger was accepted")
		}
		select {
		case err := <-alert:
			if err == nil {
				t.Error("the server was not told")
			}
		case <-time.After(patience):
			t.Error("the server waits for ever")
		}
		for name, say := range map[string][]byte{"text": []byte("220 mail.test ESMTP\r\n"), "nothing": nil, "garbage": noise(200_000)} {
			to := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
				_, _ = c.Write(say)
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
			})
			r := newRigTowards(t, engine, to, &tls.Config{RootCAs: others, ServerName: "site.test"})
			r.raw()
			if err := r.end(); err == nil {
				t.Errorf("%s: became a connection", name)
			}
		}
	})
}

// A server that never answers is given up by closing, without a goroutine left behind; settled and TestMain look.
func TestClientGivenUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		hello := make(chan struct{}, 1)
		to := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			hello <- struct{}{}
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
		})
		r := newRigTowards(t, engine, to, &tls.Config{ServerName: "site.test"})
		r.raw()
		<-hello
	})
}
