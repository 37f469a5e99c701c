package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/header"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/testnet"
)

// pass makes a certificate, as servers and clients want it.
func pass(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert := issue(t, time.Hour)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{InsecureSkipVerify: true}
}

// issue makes a certificate for site.test and 127.0.0.1, signed by itself, that ends after a while.
func issue(t testing.TB, after time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"site.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(after)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// encrypt makes the handshake on a connection of the rig.
func encrypt(t testing.TB, raw net.Conn, conf *tls.Config) *tls.Conn {
	t.Helper()
	c := tls.Client(raw, conf)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTLSSession: what is encrypted is chosen, counted and closed like what is not.
func TestTLSSession(t *testing.T) {
	server, client := pass(t)
	eachEngine(t, func(t *testing.T, engine string) {
		echo := testnet.Serve(t, testnet.Loopback(t), testnet.Echo())
		r := start(t, setup{engine: engine, servers: confs(echo), tls: server})
		c := encrypt(t, r.dial(0), client)
		const n = 300_000
		sent := make([]byte, n)
		rand.Read(sent)
		go c.Write(sent)
		got := make([]byte, n)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != string(sent) {
			t.Fatalf("what came back differs, or %v", err)
		}
		r.p.Sync()
		up, down := r.p.Servers.Traffic(0)
		if up != n || down != n || r.p.Servers.Conns(0) != 1 {
			t.Errorf("counted %d up, %d down, %d connections", up, down, r.p.Servers.Conns(0))
		}
		if ci, ok := r.p.Conn(0); !ok || ci.State != 2 {
			t.Errorf("connection 0: %+v, %v", ci, ok)
		}
		if !r.p.CloseConn(0) {
			t.Error("close: no such connection")
		}
		if _, err := c.Read(got); !errors.Is(err, io.EOF) {
			t.Errorf("a closed connection ends with %v instead of close_notify", err)
		}
	})
}

// TestTLSShaking: handshakes under way are connections; they count, can be closed and hold no server.
func TestTLSShaking(t *testing.T) {
	server, client := pass(t)
	eachEngine(t, func(t *testing.T, engine string) {
		echo := testnet.Serve(t, testnet.Loopback(t), testnet.Echo())
		r := start(t, setup{engine: engine, workers: 1, maxConns: 3, servers: confs(echo), tls: server})
		for i := range 3 {
			raw := r.dial(0)
			_, _ = raw.Write([]byte{22, 3, 1, 2, 0, 1}[:2*i])
		}
		await(t, "three handshakes", func() bool { return r.p.Conns() == 3 })
		if n := r.p.Servers.Conns(0); n != 0 {
			t.Errorf("%d places of a server are taken", n)
		}
		late := r.dial(0)
		if ci, ok := r.p.Conn(1); !ok || ci.State != 1 {
			t.Errorf("connection 1: %+v, %v", ci, ok)
		}
		r.p.CloseConn(1)
		ask(t, encrypt(t, late, client), "hello")
	})
}

// TestTLSRefused: a failed handshake is told, and leaves nothing.
func TestTLSRefused(t *testing.T) {
	server, _ := pass(t)
	eachEngine(t, func(t *testing.T, engine string) {
		var mu sync.Mutex
		var told []string
		r := start(t, setup{engine: engine, servers: confs(refusing(t)), tls: server, logf: func(f string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf(f, args...))
		}})
		for range 5 {
			c := r.dial(0)
			_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
		await(t, "the end of all", func() bool { return r.p.Conns() == 0 })
		mu.Lock()
		defer mu.Unlock()
		if len(told) == 0 || len(told) > 3 || !strings.Contains(told[0], "TLS handshake with client 127.0.0.1") {
			t.Errorf("told: %q", told)
		}
	})
}

// TestTLSForwarded: servers hear that their client spoke TLS.
func TestTLSForwarded(t *testing.T) {
	server, client := pass(t)
	addr, conns := held(t)
	r := start(t, setup{servers: confs(addr), tls: server, set: func(s *settings.Settings) {
		s.HTTP, s.Forwarded = true, header.Mode(0)
	}})
	c := encrypt(t, r.dial(0), client)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	up := r.take(conns)
	_ = up.SetReadDeadline(time.Now().Add(patience))
	var head []byte
	for b := make([]byte, 1024); !strings.Contains(string(head), "\r\n\r\n"); {
		n, err := up.Read(b)
		if head = append(head, b[:n]...); err != nil {
			t.Fatalf("%v after %q", err, head)
		}
	}
	if !strings.Contains(string(head), "X-Forwarded-Proto: https\r\n") {
		t.Errorf("head: %q", head)
	}
	c.Close()
}

// TestTLSDummy: the answer without a server is encrypted too.
func TestTLSDummy(t *testing.T) {
	server, client := pass(t)
	r := start(t, setup{tls: server, set: func(s *settings.Settings) { s.Dummy = true }})
	c := encrypt(t, r.dial(0), client)
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(c)
	if err != nil || string(b) != dummyAnswer {
		t.Errorf("got %q, %v", b, err)
	}
	c.Close()
}
