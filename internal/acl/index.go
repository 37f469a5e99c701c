package acl

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// index finds the first of many entries that matches. It is immutable.
//
// Entries with the same mask share a map from networks to positions in the list, so that a lookup costs one probe
// per distinct mask. Groups are ordered by the position of their first entry: a search ends at the first group that
// has nothing to offer before what was found already.
type index struct {
	v4      []group[uint32, uint32]
	v6      []group[int, wide]
	country []group[struct{}, string] // one or none
}

// group is the entries with the same mask.
type group[M, K comparable] struct {
	mask  M
	first int
	at    map[K]int // smallest position of an entry
}

// wide is an IPv6 address as two numbers, its first octets highest.
type wide struct{ hi, lo uint64 }

func wideOf(a netip.Addr) wide {
	b := a.As16()
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// prefix is w with all but the first n bits cleared.
func (w wide) prefix(n int) wide {
	if n <= 64 {
		return wide{hi: w.hi & (^uint64(0) << (64 - n))}
	}
	return wide{w.hi, w.lo & (^uint64(0) << (128 - n))}
}

func newIndex(entries []Entry) *index {
	x := &index{}
	byMask, byLen, byCountry := map[uint32]int{}, map[int]int{}, map[struct{}]int{}
	for i, e := range entries {
		switch {
		case e.Country != "":
			x.country = add(x.country, byCountry, struct{}{}, e.Country, i)
		case e.Addr.Is4():
			x.v4 = add(x.v4, byMask, e.Mask, word(e.Addr), i)
		default:
			x.v6 = add(x.v6, byLen, e.Bits, wideOf(e.Addr).prefix(e.Bits), i)
		}
	}
	return x
}

// add files position i under mask and network. Positions come in ascending order; byMask finds the groups.
func add[M, K comparable](groups []group[M, K], byMask map[M]int, mask M, network K, i int) []group[M, K] {
	g, ok := byMask[mask]
	if !ok {
		g = len(groups)
		byMask[mask] = g
		groups = append(groups, group[M, K]{mask: mask, first: i, at: map[K]int{}})
	}
	if _, ok := groups[g].at[network]; !ok {
		groups[g].at[network] = i
	}
	return groups
}

// find is the smallest position of an entry that matches c, or limit if there is none.
func (x *index) find(c *client, limit int) int {
	best := limit
	if c.isV4 {
		for i := range x.v4 {
			g := &x.v4[i]
			if g.first >= best {
				break
			}
			if at, ok := g.at[c.v4&g.mask]; ok {
				best = min(best, at)
			}
		}
	}
	for i := range x.v6 {
		g := &x.v6[i]
		if g.first >= best {
			break
		}
		if g.mask < c.minBits {
			continue
		}
		if at, ok := g.at[c.v6.prefix(g.mask)]; ok {
			best = min(best, at)
		}
	}
	if len(x.country) > 0 && x.country[0].first < best {
		if at, ok := x.country[0].at[c.country()]; ok {
			best = min(best, at)
		}
	}
	return best
}

// client is an address in the forms that entries compare it in.
type client struct {
	addr    netip.Addr
	isV4    bool
	v4      uint32
	v6      wide
	minBits int // IPv6 entries with shorter prefixes do not apply

	locator *atomic.Pointer[Locator]
	located bool
	code    string // of the country, once located
}

// mappedBits is the length of ::ffff:0:0/96, which holds the IPv4 addresses. To a client of an IPv4 listener only
// IPv6 entries inside it apply: ::/0 means IPv6.
const mappedBits = 96

func newClient(a netip.Addr, locator *atomic.Pointer[Locator]) client {
	c := client{addr: a.Unmap(), v6: wideOf(a), locator: locator}
	if c.addr.Is4() {
		c.isV4, c.v4 = true, word(c.addr)
	}
	if a.Is4() {
		c.minBits = mappedBits
	}
	return c
}

// country is where the client is, or empty. It is looked up once, and only for lists that ask.
func (c *client) country() string {
	if !c.located {
		c.located = true
		if l := c.locator.Load(); l != nil {
			c.code = (*l).Country(c.addr)
		}
	}
	return c.code
}

// matches reports whether e applies to c. It says the same as index.find, one entry at a time.
func (e *Entry) matches(c *client) bool {
	switch {
	case e.Country != "":
		return e.Country == c.country()
	case e.Addr.Is4():
		return c.isV4 && c.v4&e.Mask == word(e.Addr)
	}
	return e.Bits >= c.minBits && c.v6.prefix(e.Bits) == wideOf(e.Addr).prefix(e.Bits)
}
