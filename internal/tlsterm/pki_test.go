package tlsterm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// authority is a certificate with its key.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

// serial numbers certificates.
func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return n
}

// root makes a CA that signs itself.
func root(t testing.TB, name string) *authority {
	return (&authority{t: t}).issue(name, true, newKey(t, false))
}

func newKey(t testing.TB, rsaKey bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if rsaKey {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for name, signed by a, or by itself if a has no certificate.
func (a *authority) issue(name string, ca bool, key crypto.Signer) *authority {
	a.t.Helper()
	tmpl := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: ca, BasicConstraintsValid: true}
	if ca {
		tmpl.DNSNames, tmpl.KeyUsage = nil, x509.KeyUsageCertSign
	} else {
		tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return &authority{a.t, c, key}
}

func (a *authority) leaf(name string) *authority { return a.issue(name, false, newKey(a.t, false)) }

func (a *authority) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) keyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) both() []byte { return append(a.certPEM(), a.keyPEM()...) }

func (a *authority) pool() *x509.CertPool { return poolOf([]*x509.Certificate{a.cert}) }

func (a *authority) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// response is an OCSP response about leaf that holds from one time to another.
func (a *authority) response(leaf *authority, from, to time.Time) []byte {
	der, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.cert.SerialNumber,
		ThisUpdate: from, NextUpdate: to}, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// folder is a directory with files.
type folder struct {
	t    testing.TB
	path string
}

func newFolder(t testing.TB) folder { return folder{t, t.TempDir()} }

// put replaces a file at once, as careful programs do, with a time of change that differs.
func (f folder) put(name string, b []byte) string {
	f.t.Helper()
	p := filepath.Join(f.path, name)
	if err := os.WriteFile(p+".new", b, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(p+".new", p); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// journal keeps what was logged.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) logf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

func open(t testing.TB, o Options) (*Terminator, *journal) {
	t.Helper()
	j := new(journal)
	term, err := New(o, j.logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(term.Close)
	return term, j
}

// shake makes a handshake between a client and term, and an exchange, so that tickets arrive. The errors are those of
// the two sides.
func shake(t testing.TB, term *Terminator, client *tls.Config) (tls.ConnectionState, error, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	deadline := time.Now().Add(20 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	served := make(chan error, 1)
	go func() {
		s := tls.Server(b, term.Config())
		_, err := s.Write([]byte("x"))
		served <- err
		if err != nil {
			b.Close()
		}
	}()
	c := tls.Client(a, client)
	_, err := c.Read(make([]byte, 1))
	if err != nil {
		a.Close()
	}
	return c.ConnectionState(), err, <-served
}

// due makes the next handshake look at all files.
func due(term *Terminator) {
	r := term.cur.Load()
	term.checked.Store(0)
	r.fallback.checked.Store(0)
	if r.names != nil {
		r.names.mu.Lock()
		defer r.names.mu.Unlock()
		for _, id := range r.names.known {
			id.checked.Store(0)
		}
	}
}
