package tlsterm

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// names are the identities of a directory, by the name that a client asks for:
//
//	name.crt, name.key            certificate with chain, and key; both in name.crt will do
//	name.rsa.crt, name.rsa.key    a second one, for clients without ECDSA
//	name.ca                       CAs of clients and of the chain; optional
//	name.ocsp                     OCSP response; optional
//	_.example.com.crt …           all names one level below example.com
//
// A name without files is not remembered: it costs some stat(2) and may come any time.
type names struct {
	path string
	root *os.Root // nil if it could not be opened

	mu    sync.Mutex
	known map[string]*identity
}

// maxKnown bounds the names that are kept. Any other then makes room: those in use come back.
const maxKnown = 1024

// validName reports whether a name may be a part of a file name: a host name in lower case, with nothing but letters,
// digits, hyphens, underscores, and points between.
func validName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// find is the identity for a name, or that for all of its siblings; nil if there is none that can be used.
func (n *names) find(name string, now time.Time, r *rules) *identity {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if !validName(name) {
		return nil
	}
	if id := n.get(name, now, r); id != nil {
		return id
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return n.get("_."+parent, now, r)
	}
	return nil
}

func (n *names) get(name string, now time.Time, r *rules) *identity {
	n.mu.Lock()
	id := n.known[name]
	n.mu.Unlock()
	if id != nil {
		return id
	}
	if id = n.open(name); id == nil {
		return nil
	}
	if err := id.load(now, r); err != nil {
		r.sometimes("%s: %v%s; the default certificate is used", id.name, err, remedy(err))
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for old := range n.known {
		if len(n.known) < maxKnown {
			break
		}
		delete(n.known, old)
	}
	n.known[name] = id
	return id
}

// heir is the same names for other rules.
func (n *names) heir() *names {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &names{path: n.path, root: n.root, known: make(map[string]*identity, len(n.known))}
	for name, id := range n.known {
		h.known[name] = id.heir()
	}
	return h
}

// open makes the identity of a name; nil if there is no certificate for it.
func (n *names) open(name string) *identity {
	f := func(ext string) file { return file{filepath.Join(n.path, name+ext), n.root} }
	id := &identity{name: filepath.Join(n.path, name), ca: f(".ca"), ocsp: f(".ocsp")}
	for _, ext := range []string{"", ".rsa"} {
		p := pair{f(ext + ".crt"), f(ext + ".key")}
		if !p.cert.exists() {
			continue
		}
		if !p.key.exists() {
			p.key = p.cert
		}
		id.pairs = append(id.pairs, p)
	}
	if len(id.pairs) == 0 {
		return nil
	}
	return id
}
