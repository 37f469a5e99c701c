package tlsterm

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/testnet"
)

// meet makes a handshake between a server, with what it shows, and client, and an exchange, so that tickets arrive.
func meet(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	addr := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		_, _ = tls.Server(c, server).Write([]byte("x"))
	})
	raw, err := net.Dial("tcp4", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, client)
	_, err = c.Read(make([]byte, 1))
	return c.ConnectionState(), err
}

// at is a server at an address, or of a name, for whose certificate ca signs.
func at(ca, host, name string) *balance.Config {
	c := &balance.Config{Addr: netip.MustParseAddr("127.0.0.1"), Port: 443, TLS: balance.TLS{CA: ca, Name: name}}
	if _, err := netip.ParseAddr(host); err != nil {
		c.Host = host
	}
	return c
}

func TestServersVerify(t *testing.T) {
	t.Parallel()
	ours, theirs := root(t, "ours"), root(t, "theirs")
	dir := newFolder(t)
	ca, other := dir.put("ca.pem", ours.certPEM()), dir.put("other.pem", theirs.certPEM())
	var v Servers
	defer v.Close()
	for _, f := range []string{ca, other} {
		if err := v.Open(f); err != nil {
			t.Fatal(err)
		}
	}
	good := &tls.Config{Certificates: []tls.Certificate{ours.leaf("site.test").pair()}}
	tests := []struct {
		name string
		to   *balance.Config
		want string // part of the error
	}{
		{"sni", at(ca, "127.0.0.1", "site.test"), ""},
		{"host", at(ca, "site.test", ""), ""},
		{"sni before host", at(ca, "site.test", "other.test"), "not other.test"},
		{"address", at(ca, "127.0.0.1", ""), "127.0.0.1"},
		{"another authority", at(other, "site.test", ""), "unknown authority"},
		{"the system", at(balance.SystemCAs, "site.test", ""), "unknown authority"},
		{"authorities that were never read", at("/never", "site.test", ""), "unknown authority"},
	}
	for i, tt := range tests {
		_, err := meet(t, good, v.Config(i, tt.to))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := meet(t, old, v.Config(0, at(ca, "site.test", ""))); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestServersResume(t *testing.T) {
	t.Parallel()
	ours := root(t, "ours")
	dir := newFolder(t)
	ca := dir.put("ca.pem", ours.certPEM())
	var v Servers
	defer v.Close()
	if err := v.Open(ca); err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{ours.leaf("site.test").pair()}}
	second := server.Clone()
	second.SetSessionTicketKeys([][32]byte{{1}})
	servers := []*tls.Config{server, second}
	for round, want := range []bool{false, true, true} {
		for i, s := range servers { // whose tickets differ
			st, err := meet(t, s, v.Config(i, at(ca, "site.test", "")))
			if err != nil || st.DidResume != want {
				t.Errorf("round %d, server %d: resumed %v, %v", round, i, st.DidResume, err)
			}
		}
	}
	if err := v.Reload(); err != nil { // nothing has changed
		t.Error(err)
	}
	if st, err := meet(t, server, v.Config(0, at(ca, "site.test", ""))); err != nil || !st.DidResume {
		t.Errorf("after reading the same again: resumed %v, %v", st.DidResume, err)
	}
	dir.put("ca.pem", append(ours.certPEM(), root(t, "more").certPEM()...))
	if err := v.Reload(); err != nil {
		t.Error(err)
	}
	if st, err := meet(t, server, v.Config(0, at(ca, "site.test", ""))); err != nil || st.DidResume {
		t.Errorf("after a change of authorities: resumed %v, %v", st.DidResume, err)
	}
}

// What cannot be read is named, and what was read before stays.
func TestServersMistakes(t *testing.T) {
	t.Parallel()
	ours := root(t, "ours")
	dir := newFolder(t)
	ca := dir.put("ca.pem", ours.certPEM())
	var v Servers
	defer v.Close()
	if err := v.Try(ca); err != nil {
		t.Error(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{ours.leaf("site.test").pair()}}
	if _, err := meet(t, server, v.Config(0, at(ca, "site.test", ""))); err == nil {
		t.Error("what was only tried is trusted")
	}
	if err := v.Open(ca); err != nil {
		t.Fatal(err)
	}
	dir.put("ca.pem", []byte("no certificate"))
	if err := v.Reload(); err == nil || !strings.Contains(err.Error(), ca+": no certificate in it") {
		t.Errorf("reload: %v", err)
	}
	if _, err := meet(t, server, v.Config(0, at(ca, "site.test", ""))); err != nil {
		t.Error(err)
	}
	missing := dir.path + "/none"
	if err := v.Open(missing); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("open: %v", err)
	}
}
