package tlsterm

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChain(t *testing.T) {
	ca := root(t, "root")
	mid := ca.issue("intermediate", true, newKey(t, false))
	leaf := mid.leaf("site.test")
	f := newFolder(t)
	whole := f.put("whole.pem", bytes.Join([][]byte{leaf.keyPEM(), leaf.certPEM(), mid.certPEM()}, nil))
	alone, key := f.put("alone.pem", leaf.certPEM()), f.put("alone.key", leaf.keyPEM())
	cas := f.put("cas.pem", append(ca.certPEM(), mid.certPEM()...))
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "site.test"}
	for name, o := range map[string]Options{
		"in the file":      {Certs: []string{whole}},
		"from the CAs":     {Certs: []string{alone}, Keys: []string{key}, CAFile: cas},
		"from a directory": {Certs: []string{alone}, Keys: []string{key}, CADir: f.path},
	} {
		term, _ := open(t, o)
		st, err, _ := shake(t, term, client)
		if err != nil || len(st.PeerCertificates) != 2 {
			t.Errorf("%s: %d certificates, %v", name, len(st.PeerCertificates), err)
		}
	}
}

func TestErrors(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	good := f.put("good.pem", ca.leaf("a").both())
	other := f.put("other.pem", ca.leaf("b").both())
	text := f.put("text", []byte("hello\n"))
	for name, o := range map[string]Options{
		"none":                 {},
		"no such file":         {Certs: []string{filepath.Join(f.path, "nothing")}},
		"no certificate in it": {Certs: []string{text}},
		"key of another":       {Certs: []string{good}, Keys: []string{other}},
		"CAs are none":         {Certs: []string{good}, CAFile: text},
		"no cipher":            {Certs: []string{good}, Ciphers: "NULL"},
		"no version":           {Certs: []string{good}, MinVersion: "1.3", Words: []string{"no_tlsv1.3"}},
		"version unknown":      {Certs: []string{good}, MinVersion: "3"},
		"ticket keys":          {Certs: []string{good}, TicketKeys: text},
	} {
		if term, err := New(o, new(journal).logf); err == nil {
			term.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// The cheap certificate for who knows it, the other for the rest.
func TestTwoKinds(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	term, _ := open(t, Options{Certs: []string{
		f.put("rsa.pem", ca.issue("site.test", false, newKey(t, true)).both()), f.put("ec.pem", ca.leaf("site.test").both()),
	}})
	for want, c := range map[x509.PublicKeyAlgorithm]*tls.Config{
		x509.ECDSA: {RootCAs: ca.pool(), ServerName: "site.test"},
		x509.RSA: {RootCAs: ca.pool(), ServerName: "site.test", MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		st, err, _ := shake(t, term, c)
		if err != nil || st.PeerCertificates[0].PublicKeyAlgorithm != want {
			t.Errorf("%v: %v, %v", want, st.PeerCertificates, err)
		}
	}
}

func TestCipherOrder(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	cert := f.put("ec.pem", ca.leaf("site.test").both())
	const list = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
	ours, _ := open(t, Options{Certs: []string{cert}, Ciphers: list, Words: []string{preference}})
	theirs, _ := open(t, Options{Certs: []string{cert}, Ciphers: list})
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "site.test", MaxVersion: tls.VersionTLS12}
	st, err, _ := shake(t, ours, client)
	if err != nil || st.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 {
		t.Errorf("our order: %s, %v", tls.CipherSuiteName(st.CipherSuite), err)
	}
	if st, err, _ = shake(t, theirs, client); err != nil || st.CipherSuite == 0 {
		t.Errorf("the client's order: %v", err)
	}
	client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	if _, err, _ = shake(t, ours, client); err == nil {
		t.Error("a cipher that is not in the list was used")
	}
}

func TestNames(t *testing.T) {
	ca := root(t, "root")
	f, sni := newFolder(t), newFolder(t)
	for _, n := range []string{"one.test", "_.wild.test", "both.test"} {
		l := ca.leaf(n)
		sni.put(n+".crt", l.certPEM())
		sni.put(n+".key", l.keyPEM())
	}
	sni.put("both.test.rsa.crt", ca.issue("both.test", false, newKey(t, true)).both())
	sni.put("broken.test.crt", []byte("nothing"))
	sni.put("broken.test.key", []byte("nothing"))
	outside := ca.leaf("outside")
	f.put("outside.crt", outside.both())
	def := f.put("default.pem", ca.leaf("default").both())
	term, j := open(t, Options{Certs: []string{def}, SNIPath: sni.path})
	strict, _ := open(t, Options{Certs: []string{def}, SNIPath: sni.path, SNIStrict: true})
	old := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	tests := []struct {
		name    string
		ciphers []uint16
		want    string // "default": refused if strict
	}{
		{name: "one.test", want: "one.test"},
		{name: "ONE.test", want: "one.test"},
		{name: "one.test.", want: "one.test"},
		{name: "a.wild.test", want: "_.wild.test"},
		{name: "a.b.wild.test", want: "default"},
		{name: "wild.test", want: "default"},
		{name: "both.test", want: "both.test"},
		{name: "both.test", ciphers: old, want: "both.test RSA"},
		{name: "broken.test", want: "default"},
		{name: "unknown.test", want: "default"},
		{name: "../" + filepath.Base(f.path) + "/outside", want: "default"},
		{name: "..", want: "default"},
		{name: ".", want: "default"},
	}
	for _, tt := range tests {
		c := &tls.Config{InsecureSkipVerify: true, ServerName: tt.name, MaxVersion: tls.VersionTLS12, CipherSuites: tt.ciphers}
		st, err, _ := shake(t, term, c)
		if err != nil || who(st) != tt.want {
			t.Errorf("%s: want %s, got %v, %v", tt.name, tt.want, st.PeerCertificates, err)
		}
		_, err, _ = shake(t, strict, c)
		// A client of crypto/tls does not send a name that is none.
		sent := strings.Trim(tt.name, ".") != "" && !strings.Contains(tt.name, "/")
		if refused := err != nil && strings.Contains(err.Error(), "unrecognized name"); sent && refused != (tt.want == "default") {
			t.Errorf("strict, %s: %v", tt.name, err)
		}
	}
	if lines := j.all(); len(lines) != 1 || !strings.Contains(lines[0], "broken.test") {
		t.Errorf("log: %q", lines)
	}
	// A name may come at any time, and without a name the default is right.
	late := ca.leaf("unknown.test")
	sni.put("unknown.test.crt", late.both())
	for want, name := range map[string]string{"unknown.test": "unknown.test", "default": ""} {
		st, err, _ := shake(t, strict, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil || st.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("%s: %v, %v", want, st.PeerCertificates, err)
		}
	}
}

// who is the name in a server's certificate, with RSA if that is the kind.
func who(st tls.ConnectionState) string {
	c := st.PeerCertificates[0]
	if c.PublicKeyAlgorithm == x509.RSA {
		return c.Subject.CommonName + " RSA"
	}
	return c.Subject.CommonName
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "a.b": true, "xn--a-1_b.example": true, "127.0.0.1": true, strings.Repeat("a", 253): true,
		"": false, ".": false, "..": false, "a..b": false, ".a": false, "a.": false, "a/b": false, "a\\b": false,
		"A": false, "a b": false, "a\x00": false, "\u00e4": false, "*.a": false, strings.Repeat("a", 254): false,
	} {
		if got := validName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzValidName(f *testing.F) {
	f.Add("a.example")
	f.Add("../a")
	f.Fuzz(func(t *testing.T, name string) {
		if validName(name) && (filepath.Base(name) != name || !filepath.IsLocal(name+".crt")) {
			t.Errorf("%q leads elsewhere", name)
		}
	})
}

func TestClientCertificates(t *testing.T) {
	ca, foreign := root(t, "root"), root(t, "foreign")
	f := newFolder(t)
	term, _ := open(t, Options{Certs: []string{f.put("s.pem", ca.leaf("site.test").both())}, Require: true,
		CAFile: f.put("ca.pem", ca.certPEM())})
	client := func(version uint16, certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.pool(), ServerName: "site.test", MaxVersion: version,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return new(tls.Certificate), nil
				}
				return &certs[0], nil
			}}
	}
	alert := map[uint16]string{tls.VersionTLS12: "handshake failure", tls.VersionTLS13: "certificate required"} // RFC 5246, 7.4.6; 8446, 4.4.2.4
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if _, err, _ := shake(t, term, client(v, ca.leaf("good").pair())); err != nil {
			t.Errorf("good: %v", err)
		}
		_, err, served := shake(t, term, client(v))
		if served == nil || err == nil || !strings.Contains(err.Error(), alert[v]) {
			t.Errorf("none: the client got %v, we %v", err, served)
		}
		_, err, served = shake(t, term, client(v, foreign.leaf("bad").pair()))
		var unknown x509.UnknownAuthorityError
		if !errors.As(served, &unknown) || err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Errorf("foreign: the client got %v, we %v", err, served)
		}
	}
}

// Whoever has the keys resumes the sessions of others; a pen of its own does not.
func TestResume(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	secret := func(c byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, 48)) }
	keys := f.put("keys", []byte("# comment\n"+secret('a')+"\n\n"))
	turned := f.put("turned", []byte(secret('b')+"\n"+secret('a')+"\n"))
	cert := f.put("s.pem", ca.leaf("site.test").both())
	one, _ := open(t, Options{Certs: []string{cert}, TicketKeys: keys})
	two, _ := open(t, Options{Certs: []string{cert}, TicketKeys: turned, Ciphers: "HIGH"})
	alone, _ := open(t, Options{Certs: []string{cert}})
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: ca.pool(), ServerName: "site.test", MaxVersion: v,
			ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i, step := range []struct {
			at   *Terminator
			want bool
		}{{one, false}, {one, true}, {two, true}, {two, true}, {alone, false}, {alone, true}} {
			if i == 4 {
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				shake(t, one, client)
			}
			st, err, _ := shake(t, step.at, client)
			if err != nil || st.DidResume != step.want {
				t.Errorf("version %x, step %d: resumed %v, %v", v, i, st.DidResume, err)
			}
		}
	}
}

// A certificate is replaced while clients come, and no handshake fails. A bad one changes nothing.
func TestReplace(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	path := f.put("s.pem", ca.leaf("site.test").both())
	term, j := open(t, Options{Certs: []string{path}})
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "site.test"}
	var last *authority
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err, _ := shake(t, term, client); err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
			}
		})
	}
	for i := range 6 {
		if i%2 == 1 {
			f.put("s.pem", []byte("half a file"))
		} else {
			last = ca.leaf("site.test")
			f.put("s.pem", last.both())
		}
		due(term)
		st, err, _ := shake(t, term, client)
		if err != nil || !st.PeerCertificates[0].Equal(last.cert) {
			t.Errorf("turn %d: not the last good certificate, %v", i, err)
		}
	}
	close(stop)
	load.Wait()
	if lines := j.all(); len(lines) == 0 || !strings.Contains(lines[0], "the old certificate stays") {
		t.Errorf("log: %q", lines)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := term.Reload(); err != nil {
		t.Errorf("reload without the file: %v", err)
	}
	if _, err, _ := shake(t, term, client); err != nil {
		t.Error(err)
	}
}

func TestApply(t *testing.T) {
	ca := root(t, "root")
	f := newFolder(t)
	o := Options{Certs: []string{f.put("s.pem", ca.leaf("site.test").both())}}
	term, _ := open(t, o)
	client := &tls.Config{RootCAs: ca.pool(), ServerName: "site.test", NextProtos: []string{"x", "http/1.1", "h2"}}
	o.ALPN, o.MinVersion = "h2,http/1.1", "1.3"
	if err := term.Apply(o); err != nil {
		t.Fatal(err)
	}
	st, err, _ := shake(t, term, client)
	if err != nil || st.NegotiatedProtocol != "h2" {
		t.Errorf("protocol %q, %v", st.NegotiatedProtocol, err)
	}
	bad := o
	bad.Ciphers = "nonsense"
	if err := term.Apply(bad); !errors.Is(err, errNoCipher) {
		t.Errorf("got %v", err)
	}
	client.MaxVersion = tls.VersionTLS12
	if _, err, _ := shake(t, term, client); err == nil {
		t.Error("TLS 1.2 although tls_min is 1.3")
	}
}
