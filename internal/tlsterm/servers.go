package tlsterm

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/penlb/pen/internal/balance"
)

// Servers decides how pen speaks TLS with servers: whom it trusts to sign for them, and which sessions are resumed. The
// zero Servers trusts nobody. It may be used from any goroutine.
type Servers struct {
	files sync.Mutex // held while files are read, before mu
	dirs  dirs

	mu      sync.RWMutex
	pools   map[string]*x509.CertPool // by what balance.TLS.CA says
	origins map[int]origin            // by index of the server
}

// origin is how to speak with one server.
type origin struct {
	pool *x509.CertPool
	name string
	conf *tls.Config
}

// sessionsKept is how many sessions of a server are kept: crypto/tls keeps the last for each name, and there is one.
const sessionsKept = 1

// nobody signs for any server. To crypto/tls no pool at all would mean the system's.
var nobody = x509.NewCertPool()

// Config is how to speak with server i as it is now. It is the same until s changes, or the file of its authorities, so
// that sessions are resumed, and only such as have been verified by the same rules.
func (v *Servers) Config(i int, s *balance.Config) *tls.Config {
	name := s.ServerName()
	v.mu.RLock()
	pool, o := v.pools[s.TLS.CA], v.origins[i]
	v.mu.RUnlock()
	if pool == nil {
		pool = nobody
	}
	if o.conf != nil && o.pool == pool && o.name == name {
		return o.conf
	}
	o = origin{pool, name, &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(sessionsKept)}}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.origins == nil {
		v.origins = make(map[int]origin)
	}
	v.origins[i] = o
	return o.conf
}

// Try is nil if the authorities that ca names, as in balance.TLS, can be read. The error names the file.
func (v *Servers) Try(ca string) error {
	_, err := v.read(ca)
	return err
}

// Open reads the authorities that ca names, for use. On error those that it had before stay. It blocks for the disk.
func (v *Servers) Open(ca string) error {
	pool, err := v.read(ca)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pools == nil {
		v.pools = make(map[string]*x509.CertPool)
	}
	if old := v.pools[ca]; old == nil || !old.Equal(pool) { // equal ones keep the sessions
		v.pools[ca] = pool
	}
	return nil
}

// Reload reads all authorities again. The error tells of those that could not be read, and stay as they were.
func (v *Servers) Reload() error {
	v.mu.RLock()
	known := slices.Sorted(maps.Keys(v.pools))
	v.mu.RUnlock()
	var errs []error
	for _, ca := range known {
		errs = append(errs, v.Open(ca))
	}
	return errors.Join(errs...)
}

// Close frees what Open has opened.
func (v *Servers) Close() {
	v.files.Lock()
	defer v.files.Unlock()
	v.dirs.close()
	v.dirs = nil
}

func (v *Servers) read(ca string) (*x509.CertPool, error) {
	if ca == balance.SystemCAs {
		return system()
	}
	v.files.Lock()
	defer v.files.Unlock()
	if v.dirs == nil {
		v.dirs = make(dirs)
	}
	b, err := v.dirs.file(ca).read()
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, remedy(err))
	}
	cas, err := certificates(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ca, err)
	}
	return poolOf(cas), nil
}

// system is whom the system trusts. Go reads that once.
func system() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err == nil && pool.Equal(nobody) {
		err = errors.New("it trusts nobody; install its package of certificates (ca-certificates), or name a file")
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of the system: %w", err)
	}
	return pool, nil
}
