package client

import (
	"iter"
	"net/netip"
	"time"
)

// Entry is what the table knows about a client.
type Entry struct {
	Index    int        // pen's number of the client
	Addr     netip.Addr // invalid: Unix clients
	LastUse  int64      // nanoseconds since 1970
	Server   int        // where it was served last, or negative
	Connects uint64
	Sent     uint64 // bytes to the client
	Received uint64 // bytes from the client
}

// Recent yields, by index, the clients used no longer than within ago that have not expired; math.MaxInt64 yields
// all of these. Each entry is consistent in itself; the table may change between two of them, and nobody waits.
func (t *Table) Recent(now int64, within, tracking time.Duration) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for n := slot(1); n <= slot(t.slab.used.Load()); n++ {
			if t.slab.at(n).hash.Load() == 0 {
				continue // its first client is just being stored
			}
			e := t.entry(n)
			if now-e.LastUse > int64(within) || expired(e.LastUse, now, tracking) {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

func (t *Table) entry(n slot) Entry {
	s, e := t.lockEntry(n)
	defer s.mu.Unlock()
	return Entry{
		Index:    int(n) - 1,
		Addr:     e.netip(),
		LastUse:  e.lastUse,
		Server:   int(e.server),
		Connects: e.connects,
		Sent:     e.sent,
		Received: e.received,
	}
}
