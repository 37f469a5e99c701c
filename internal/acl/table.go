package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Lists is the number of access lists; they are numbered from 0.
const Lists = 10

// Locator knows in which country an address is.
type Locator interface {
	// Country is the ISO 3166 code in capital letters, or empty. It is called on the hot path of services whose
	// lists have country entries: it must not block.
	Country(addr netip.Addr) string
}

// Table is ten access lists. The zero Table is ready: all lists are empty. All methods may be called from any
// goroutine; Permits never waits for the others.
type Table struct {
	lists   [Lists]list
	locator atomic.Pointer[Locator]

	// guarded by mu
	mu   sync.Mutex
	held int // calls of Hold not yet released
}

// list is what was put together, and what Permits sees of it.
type list struct {
	snapshot  // guarded by Table.mu
	published atomic.Pointer[snapshot]
}

// snapshot is a list at one moment: an index of its first entries, and the few that came since.
type snapshot struct {
	entries []Entry // elements never change; others may be appended behind them
	index   *index
	indexed int // entries in index
}

// A snapshot is indexed anew when more than tailMin entries, plus one tailShare-th of the list, are not in the
// index. Adding n entries one by one then costs about tailShare times as much as indexing n at once, and scanning
// the rest costs less than the lookups in the index.
const (
	tailMin   = 32
	tailShare = 64
)

// Add appends e to list n.
func (t *Table) Add(n int, e Entry) error {
	return t.change(n, func(l *list) { l.entries = append(l.entries, e) })
}

// Clear empties list n.
func (t *Table) Clear(n int) error {
	return t.change(n, func(l *list) { l.snapshot = snapshot{} })
}

func (t *Table) change(n int, f func(*list)) error {
	if n < 0 || n >= Lists {
		return fmt.Errorf("access list %d: out of range 0 to %d", n, Lists-1)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &t.lists[n]
	f(l)
	if t.held == 0 {
		l.publish(tailMin + len(l.entries)/tailShare)
	}
	return nil
}

// publish lets Permits see the entries; up to maxTail of them need not be indexed.
func (l *list) publish(maxTail int) {
	if len(l.entries)-l.indexed > maxTail {
		l.index, l.indexed = newIndex(l.entries), len(l.entries)
	}
	s := l.snapshot
	l.published.Store(&s)
}

// Hold makes the changes that follow invisible to Permits until release is called, which publishes all of them at
// once. Reading a configuration file again under Hold leaves no moment at which a list is half full, or empty and
// open to everybody. Holds may overlap; the last release counts.
func (t *Table) Hold() (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.held--; t.held > 0 {
			return
		}
		for i := range t.lists {
			t.lists[i].publish(tailMin)
		}
	})
}

// Entries is a copy of list n as it was put together, including changes under Hold. It is nil for a list that does
// not exist.
func (t *Table) Entries(n int) []Entry {
	if n < 0 || n >= Lists {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lists[n].entries)
}

// SetLocator makes l the one who knows countries. Without one, or with nil, country entries match nobody.
func (t *Table) SetLocator(l Locator) {
	if l == nil {
		t.locator.Store(nil)
		return
	}
	t.locator.Store(&l)
}

// Permits reports whether list n lets addr in. An invalid address, that of a Unix client, is let in everywhere; a
// list that does not exist lets nobody else in.
func (t *Table) Permits(n int, addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	if n < 0 || n >= Lists {
		return false
	}
	s := t.lists[n].published.Load()
	if s == nil || len(s.entries) == 0 {
		return true
	}
	c := newClient(addr, &t.locator)
	if i := s.find(&c); i < len(s.entries) {
		return s.entries[i].Permit
	}
	return !s.entries[len(s.entries)-1].Permit
}

// find is the position of the first entry that matches c, or the number of entries.
func (s *snapshot) find(c *client) int {
	if s.index != nil {
		if i := s.index.find(c, s.indexed); i < s.indexed {
			return i
		}
	}
	for i := s.indexed; i < len(s.entries); i++ {
		if s.entries[i].matches(c) {
			return i
		}
	}
	return len(s.entries)
}
