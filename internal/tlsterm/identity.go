package tlsterm

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// identity is who we are under one name: one or more certificates, whose files may change.
type identity struct {
	name  string // for the log
	pairs []pair // ECDSA may stand in any place; it is preferred once loaded
	ca    file   // CAs of clients, and of our own chain
	ocsp  file

	checked atomic.Int64 // when the files were last looked at, in nanoseconds since 1970
	cur     atomic.Pointer[loaded]
	mu      sync.Mutex // one goroutine loads
}

// pair is a certificate, with its chain, and its key, which may be in the same file.
type pair struct{ cert, key file }

// loaded is what the files of an identity held. It is immutable, save for the cache.
type loaded struct {
	certs   []tls.Certificate
	cas     *x509.CertPool // nil: as the default
	until   time.Time      // when a staple ends; zero: never
	stamps  []stamp
	configs sync.Map // *tls.Config by the one cipher that it has; 0: all
}

// checkEvery is how often files are looked at, while there are handshakes.
const checkEvery = time.Second

func (id *identity) stamps() []stamp {
	s := []stamp{id.ca.stamp(), id.ocsp.stamp()}
	for _, p := range id.pairs {
		s = append(s, p.cert.stamp(), p.key.stamp())
	}
	return s
}

// get is what the files hold, looked at anew if that is due. It is never nil once load has succeeded.
func (id *identity) get(now time.Time, r *rules) *loaded {
	l := id.cur.Load()
	last := id.checked.Load()
	if time.Duration(now.UnixNano()-last) < checkEvery || !id.checked.CompareAndSwap(last, now.UnixNano()) {
		return l
	}
	if slices.Equal(id.stamps(), l.stamps) && (l.until.IsZero() || now.Before(l.until)) {
		return l
	}
	if err := id.load(now, r); err != nil {
		r.logf("%s: %v%s; nothing changes", id.name, err, remedy(err))
	}
	return id.cur.Load()
}

// load reads the files. On error what was there stays, until they change again.
func (id *identity) load(now time.Time, r *rules) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	id.checked.Store(now.UnixNano())
	stamps := id.stamps()
	l, err := id.read(now, r)
	if err != nil {
		old := id.cur.Load()
		if old == nil {
			return err
		}
		l = old.copy()
		l.until = time.Time{}
	}
	l.stamps = stamps
	id.cur.Store(l)
	return err
}

// copy is l without its cache and stamps, so that it is read anew when next looked at.
func (l *loaded) copy() *loaded {
	return &loaded{certs: slices.Clone(l.certs), cas: l.cas, until: l.until}
}

// heir is an identity of the same files for other rules. What cannot be read any more it has from id.
func (id *identity) heir() *identity {
	h := &identity{name: id.name, pairs: id.pairs, ca: id.ca, ocsp: id.ocsp}
	h.cur.Store(id.cur.Load().copy())
	return h
}

func (id *identity) read(now time.Time, r *rules) (*loaded, error) {
	l, cas := new(loaded), r.cas
	if id.ca.exists() {
		b, err := id.ca.read()
		if err != nil {
			return nil, err
		}
		if cas, err = certificates(b); err != nil {
			return nil, fmt.Errorf("%s: %w", id.ca.path, err)
		}
		l.cas = poolOf(cas)
	}
	var err error
	if l.certs, err = id.certs(cas); err != nil {
		old := id.cur.Load()
		if old == nil {
			return nil, err
		}
		r.logf("%s: %v%s; the old certificate stays", id.name, err, remedy(err))
		l.certs = slices.Clone(old.certs)
	}
	id.staple(l, cas, now, r)
	return l, nil
}

// certs reads all pairs.
func (id *identity) certs(cas []*x509.Certificate) (all []tls.Certificate, err error) {
	for _, p := range id.pairs {
		c, err := p.load()
		if err != nil {
			return nil, err
		}
		complete(&c, cas)
		all = append(all, c)
	}
	// The first that a client supports is taken, and ECDSA costs a fraction of RSA.
	slices.SortStableFunc(all, func(a, b tls.Certificate) int { return rank(&a) - rank(&b) })
	return all, nil
}

// load reads the pair.
func (p pair) load() (c tls.Certificate, err error) {
	cert, err := p.cert.read()
	if err != nil {
		return c, err
	}
	key := cert
	if p.key.path != p.cert.path {
		if key, err = p.key.read(); err != nil {
			return c, err
		}
	}
	if c, err = tls.X509KeyPair(cert, key); err != nil {
		return c, fmt.Errorf("%s: %w", p.cert.path, err)
	}
	return c, nil
}

// rank orders certificates by the work that they make.
func rank(c *tls.Certificate) int {
	switch c.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return 0
	}
	return 1
}

// maxChain ends a circle of CAs that sign each other.
const maxChain = 8

// complete adds to c, if it came alone, the CAs between it and a root.
//
// pen: sent the leaf only, whatever the file held, and took the chain from the CAs.
func complete(c *tls.Certificate, cas []*x509.Certificate) {
	if len(c.Certificate) > 1 {
		return
	}
	for last := c.Leaf; len(c.Certificate) < maxChain; {
		last = issuerOf(last, cas)
		if last == nil || last.CheckSignatureFrom(last) == nil {
			return
		}
		c.Certificate = append(c.Certificate, last.Raw)
	}
}

// staple adds the OCSP response to the certificate that it is about. One that is no good is told and left out.
func (id *identity) staple(l *loaded, cas []*x509.Certificate, now time.Time, r *rules) {
	for i := range l.certs {
		l.certs[i].OCSPStaple = nil
	}
	if id.ocsp.path == "" {
		return
	}
	b, err := id.ocsp.read()
	if err != nil {
		if id.ocsp.exists() || id.name == defaultName {
			r.logf("OCSP response: %v%s; none is stapled", err, remedy(err))
		}
		return
	}
	err = errForeign
	for i := range l.certs {
		c := &l.certs[i]
		known := cas
		for _, raw := range c.Certificate[1:] {
			if ca, perr := x509.ParseCertificate(raw); perr == nil {
				known = append(slices.Clip(known), ca)
			}
		}
		var until time.Time
		if until, err = checkStaple(b, c.Leaf, issuerOf(c.Leaf, known), now); err == nil {
			c.OCSPStaple, l.until = b, until
			return
		} else if !errors.Is(err, errForeign) {
			break
		}
	}
	r.logf("OCSP response %s: %v; none is stapled", id.ocsp.path, err)
}

// certificates are those in a PEM file.
func certificates(b []byte) (all []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return all, nil
}

func poolOf(cas []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range cas {
		p.AddCert(c)
	}
	return p
}
