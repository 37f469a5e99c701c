package tlsterm

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what the command line and the commands say.
type Options struct {
	Certs      []string // -E: PEM, the certificate and its chain; several with keys of different kinds
	Keys       []string // -K: of the certificate in the same place; missing: in its file
	CAFile     string   // -G
	CADir      string   // -A
	Require    bool     // -R: clients must have a certificate
	Protocol   string   // -L
	MinVersion string   // tls_min; empty: 1.2
	Words      []string // ssl_option
	Ciphers    string   // ssl_ciphers
	SNIPath    string   // ssl_sni_path
	SNIStrict  bool     // sni_strict
	OCSP       string   // ssl_ocsp_response
	TicketKeys string   // ticket_keys
	ALPN       string   // alpn: protocols, the preferred first, with commas between
}

// Terminator holds certificates and rules. It may be used from any goroutine.
type Terminator struct {
	base    *tls.Config
	logf    func(string, ...any)
	cur     atomic.Pointer[rules]
	tickets tickets
	checked atomic.Int64
	lastMsg atomic.Int64

	mu   sync.Mutex // guards what follows: one change at a time
	opts Options
	dirs dirs
}

// rules is one state of the configuration. It is immutable.
type rules struct {
	logf      func(string, ...any)
	sometimes func(string, ...any) // at most once a second: what strangers can cause
	low, high uint16
	order     []uint16 // ciphers; nil: as crypto/tls likes
	ours      bool     // our order counts, not the client's
	require   bool
	cas       []*x509.Certificate
	pool      *x509.CertPool
	protos    []string
	fallback  *identity
	names     *names // nil: names are not looked at
	strict    bool
}

// defaultName is the default certificate in the log.
const defaultName = "default certificate"

// New reads what o names. Certificates that cannot be used are an error; what is doubtful is told to logf.
func New(o Options, logf func(string, ...any)) (*Terminator, error) {
	t := &Terminator{logf: logf, dirs: make(dirs)}
	t.base = &tls.Config{GetConfigForClient: t.choose}
	if err := t.Apply(o); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Close frees what New opened. Handshakes may still go on; they no longer see changes in a jail.
func (t *Terminator) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirs.close()
	t.dirs = make(dirs)
}

// Config is what to make TLS connections with. It stays the same when options change.
func (t *Terminator) Config() *tls.Config { return t.base }

// Apply changes to o. On error everything stays as it was.
func (t *Terminator) Apply(o Options) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cur.Load() != nil && reflect.DeepEqual(o, t.opts) {
		return nil
	}
	return t.apply(o)
}

// Reload reads all files again. On error everything stays as it was.
func (t *Terminator) Reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.apply(t.opts)
}

func (t *Terminator) apply(o Options) error {
	r := &rules{logf: t.logf, sometimes: t.sometimes, require: o.Require, strict: o.SNIStrict}
	var err error
	if r.low, r.high, err = o.bounds(t.logf); err != nil {
		return err
	}
	if r.order, err = parseCiphers(o.Ciphers, t.logf); err != nil {
		return fmt.Errorf("ssl_ciphers %s: %w", o.Ciphers, err)
	}
	r.ours = slices.Contains(o.Words, preference)
	now, old := time.Now(), t.cur.Load()
	if r.cas, err = t.authorities(o); err != nil {
		if old == nil || o.CAFile != t.opts.CAFile || o.CADir != t.opts.CADir {
			return err
		}
		t.logf("%v%s; the old CAs of clients stay", err, remedy(err))
		r.cas = old.cas
	}
	r.pool = poolOf(r.cas)
	if r.require && len(r.cas) == 0 && o.SNIPath == "" {
		t.logf("-R without -G or -A: no client has a certificate that could be verified")
	}
	if o.ALPN != "" {
		r.protos = strings.FieldsFunc(o.ALPN, func(c rune) bool { return c == ',' || c == ' ' })
	}
	if len(o.Certs) == 0 {
		return errors.New("no certificate: -E names none")
	}
	r.fallback = t.fallback(o)
	if old != nil && slices.Equal(o.Certs, t.opts.Certs) && slices.Equal(o.Keys, t.opts.Keys) {
		r.fallback.cur.Store(old.fallback.cur.Load().copy())
	}
	if err := r.fallback.load(now, r); err != nil {
		return err
	}
	if o.SNIPath != "" {
		r.names = &names{path: o.SNIPath, root: t.dirs.dir(o.SNIPath), known: make(map[string]*identity)}
		if old != nil && o.SNIPath == t.opts.SNIPath {
			r.names = old.names.heir()
		}
	}
	if err := t.tickets.set(t.dirs.file(o.TicketKeys), t.base, now); err != nil {
		return err
	}
	t.opts = o
	t.cur.Store(r)
	return nil
}

// fallback is the identity of -E.
func (t *Terminator) fallback(o Options) *identity {
	id := &identity{name: defaultName, ocsp: t.dirs.file(o.OCSP)}
	for i, c := range o.Certs {
		p := pair{t.dirs.file(c), t.dirs.file(c)}
		if i < len(o.Keys) {
			p.key = t.dirs.file(o.Keys[i])
		}
		id.pairs = append(id.pairs, p)
	}
	return id
}

// authorities are the CAs of -G and -A.
func (t *Terminator) authorities(o Options) (all []*x509.Certificate, err error) {
	var files []file
	if o.CAFile != "" {
		files = append(files, t.dirs.file(o.CAFile))
	}
	if o.CADir != "" {
		entries, err := os.ReadDir(o.CADir)
		if err != nil {
			return nil, err
		}
		t.dirs.dir(o.CADir)
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, t.dirs.file(filepath.Join(o.CADir, e.Name())))
			}
		}
	}
	for i, f := range files {
		b, err := f.read()
		if err != nil {
			return nil, err
		}
		cas, err := certificates(b)
		if err != nil && (o.CAFile == "" || i > 0) {
			continue // a directory may hold other things, such as revocation lists
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		all = append(all, cas...)
	}
	return all, nil
}

// sometimes logs at most once a second.
func (t *Terminator) sometimes(format string, args ...any) {
	now := time.Now().Unix()
	if last := t.lastMsg.Load(); last != now && t.lastMsg.CompareAndSwap(last, now) {
		t.logf(format, args...)
	}
}

// choose answers a ClientHello.
func (t *Terminator) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	now, r := time.Now(), t.cur.Load()
	if last := t.checked.Load(); time.Duration(now.UnixNano()-last) >= checkEvery && t.checked.CompareAndSwap(last, now.UnixNano()) {
		if err := t.tickets.check(t.base, now); err != nil {
			t.logf("%v; the old keys stay", err)
		}
	}
	id := r.fallback
	if r.names != nil && hello.ServerName != "" {
		if named := r.names.find(hello.ServerName, now, r); named != nil {
			id = named
		} else if r.strict {
			return &tls.Config{MinVersion: r.low, MaxVersion: r.high}, nil // without certificates: unrecognized_name
		}
	}
	l := id.get(now, r)
	return l.config(r, r.cipher(l, hello)), nil
}

// cipher is the one to be used with TLS 1.2 and before; 0 leaves it to crypto/tls.
func (r *rules) cipher(l *loaded, hello *tls.ClientHelloInfo) uint16 {
	if r.order == nil {
		return 0
	}
	usable := func(id uint16) bool {
		for i := range l.certs {
			if signs(id, rank(&l.certs[i]) == 0) {
				return true
			}
		}
		return false
	}
	if r.ours {
		return choose(r.order, hello.CipherSuites, usable)
	}
	return choose(hello.CipherSuites, r.order, usable)
}

// config is the configuration for one cipher, made once. Ticket keys are those of the base: crypto/tls takes them for
// a configuration that has none of its own.
func (l *loaded) config(r *rules, cipher uint16) *tls.Config {
	if c, ok := l.configs.Load(cipher); ok {
		return c.(*tls.Config)
	}
	c := &tls.Config{Certificates: l.certs, MinVersion: r.low, MaxVersion: r.high, NextProtos: r.protos, CipherSuites: r.order}
	if cipher != 0 {
		c.CipherSuites = []uint16{cipher}
	}
	if r.require {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, r.pool
		if l.cas != nil {
			c.ClientCAs = l.cas
		}
	}
	kept, _ := l.configs.LoadOrStore(cipher, c)
	return kept.(*tls.Config)
}
