package tlsterm

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// Protocols are the words of -L.
func Protocols() []string { return []string{"ssl23", "ssl2", "ssl3", "tls1"} }

// version is one that crypto/tls has.
type version struct {
	name string // for tls_min
	id   uint16
	no   string // the word of ssl_option that excludes it
}

// versions is all of them, the oldest first.
var versions = []version{
	{"1.0", tls.VersionTLS10, "no_tlsv1"},
	{"1.1", tls.VersionTLS11, "no_tlsv1.1"},
	{"1.2", tls.VersionTLS12, "no_tlsv1.2"},
	{"1.3", tls.VersionTLS13, "no_tlsv1.3"},
}

// preference is the word of ssl_option that makes our order of ciphers count.
const preference = "cipher_server_preference"

// bounds are the lowest and the highest version, from -L, tls_min and ssl_option. What cannot be had is told to warn.
func (o *Options) bounds(warn func(string, ...any)) (low, high uint16, err error) {
	floor := o.MinVersion
	if floor == "" {
		floor = "1.2"
	}
	first := slices.IndexFunc(versions, func(v version) bool { return v.name == floor })
	if first < 0 {
		return 0, 0, fmt.Errorf("tls_min %s: want 1.0, 1.1, 1.2 or 1.3", floor)
	}
	if o.Protocol == "ssl2" || o.Protocol == "ssl3" {
		warn("-L %s: SSL is gone; TLS from %s on is spoken", o.Protocol, floor)
	}
	for _, word := range o.Words {
		known := word == preference || word == "no_sslv2" || word == "no_sslv3"
		if !known && !slices.ContainsFunc(versions, func(v version) bool { return v.no == word }) {
			warn("ssl_option %s: not known; ignored", word)
		}
	}
	hole := false
	for _, v := range versions[first:] {
		switch {
		case slices.Contains(o.Words, v.no):
			hole = low != 0
		case hole: // crypto/tls has no holes between versions: the higher part is the safer one
			warn("ssl_option: versions below TLS %s are off too, for there can be no gap", v.name)
			low, high, hole = v.id, v.id, false
		default:
			if low == 0 {
				low = v.id
			}
			high = v.id
		}
	}
	if low == 0 {
		return 0, 0, fmt.Errorf("ssl_option %s with tls_min %s leaves no version of TLS", strings.Join(o.Words, " "), floor)
	}
	return low, high, nil
}
