package acl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Entry is one line of an access list. Exactly one of Addr and Country is set.
type Entry struct {
	Permit  bool
	Addr    netip.Addr // a network, or a host
	Mask    uint32     // if Addr is IPv4: the bits to compare, any of them
	Bits    int        // if Addr is IPv6: how many leading bits to compare
	Country string     // ISO 3166 code of two capital letters
}

// ParseEntry reads what follows `acl N`: permit or deny, and one of
//
//	IP          one host
//	IP MASK     IPv4 with a mask in dots
//	IP/LENGTH   a network, of either family; bits of the address behind the prefix are ignored
//	country CC  everybody there
//
// Further words are ignored, as pen does.
func ParseEntry(words []string) (Entry, error) {
	var e Entry
	if len(words) == 0 {
		return e, errors.New("permit or deny is missing")
	}
	switch words[0] {
	case "permit":
		e.Permit = true
	case "deny":
	default:
		return e, fmt.Errorf("%q is neither permit nor deny", words[0])
	}
	what := words[1:]
	if len(what) == 0 {
		return e, fmt.Errorf("an address or a country is missing after %s", words[0])
	}
	if what[0] == "country" {
		return e.withCountry(what[1:])
	}
	return e.withAddr(what)
}

func (e Entry) withCountry(words []string) (Entry, error) {
	if len(words) == 0 {
		return e, errors.New("a code of two letters is missing after country")
	}
	cc := strings.ToUpper(words[0]) // pen: compares case, so that small letters never matched
	if len(cc) != 2 || !isLetter(cc[0]) || !isLetter(cc[1]) {
		return e, fmt.Errorf("%q is not a country code of two letters", words[0])
	}
	e.Country = cc
	return e, nil
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' }

func (e Entry) withAddr(words []string) (Entry, error) {
	host, length, isNetwork := strings.Cut(words[0], "/")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return e, fmt.Errorf("%q is not an IP address", host)
	}
	if addr.Zone() != "" {
		return e, fmt.Errorf("%q: an access list cannot tell zones apart", host)
	}
	e.Addr, e.Bits = addr, addr.BitLen()
	if isNetwork {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > addr.BitLen() {
			return e, fmt.Errorf("%q: the length after / is not a number from 0 to %d", words[0], addr.BitLen())
		}
		e.Bits = int(n)
		e.Addr = netip.PrefixFrom(addr, e.Bits).Masked().Addr()
	}
	if !addr.Is4() {
		return e, nil
	}
	e.Mask, e.Bits = ^uint32(0)<<(32-e.Bits), 0
	if len(words) > 1 {
		if isNetwork {
			return e, fmt.Errorf("%q: both a length and the mask %q", words[0], words[1])
		}
		mask, err := netip.ParseAddr(words[1])
		if err != nil || !mask.Is4() {
			return e, fmt.Errorf("%q is not a mask such as 255.255.255.0", words[1])
		}
		e.Mask = word(mask)
	}
	return e, nil
}

// String is the entry as ParseEntry reads it and pen writes it: "permit 10.0.0.0 255.0.0.0", "deny ::1/128",
// "permit country SE".
func (e Entry) String() string {
	verb := "deny"
	if e.Permit {
		verb = "permit"
	}
	switch {
	case e.Country != "":
		return verb + " country " + e.Country
	case e.Addr.Is4():
		return verb + " " + e.Addr.String() + " " + dotted(e.Mask)
	}
	return verb + " " + e.Addr.String() + "/" + strconv.Itoa(e.Bits)
}

// word is the IPv4 address a as a number, first octet highest.
func word(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func dotted(w uint32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], w)
	return netip.AddrFrom4(b).String()
}
