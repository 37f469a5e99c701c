package tlsterm

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
)

// suite is a cipher of TLS 1.2 and before, with OpenSSL's name and the group words of ciphers(1) that mean it.
type suite struct {
	id    uint16
	name  string
	words string
}

// suites are those of crypto/tls, in OpenSSL's order of DEFAULT.
var suites = []suite{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE ECDSA AES256 AESGCM SHA384 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE aRSA AES256 AESGCM SHA384 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE ECDSA CHACHA20 SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE aRSA CHACHA20 SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE ECDSA AES128 AESGCM SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE aRSA AES128 AESGCM SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256", "ECDHE ECDSA AES128 SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256", "ECDHE aRSA AES128 SHA256 HIGH TLSv1.2"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", "ECDHE ECDSA AES256 SHA1 HIGH TLSv1"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", "ECDHE aRSA AES256 SHA1 HIGH TLSv1"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", "ECDHE ECDSA AES128 SHA1 HIGH TLSv1"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", "ECDHE aRSA AES128 SHA1 HIGH TLSv1"},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", "kRSA aRSA AES256 AESGCM SHA384 HIGH TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", "kRSA aRSA AES128 AESGCM SHA256 HIGH TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256", "kRSA aRSA AES128 SHA256 HIGH TLSv1.2"},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA", "kRSA aRSA AES256 SHA1 HIGH SSLv3"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA", "kRSA aRSA AES128 SHA1 HIGH SSLv3"},
	{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, "ECDHE-RSA-DES-CBC3-SHA", "ECDHE aRSA 3DES SHA1 MEDIUM TLSv1"},
	{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA", "kRSA aRSA 3DES SHA1 MEDIUM SSLv3"},
}

// aliases are further group words, by the one that suites have.
var aliases = map[string]string{
	"EECDH": "ECDHE", "kECDHE": "ECDHE", "kEECDH": "ECDHE", "ECDH": "ECDHE", "aECDSA": "ECDSA", "RSA": "kRSA",
	"SHA": "SHA1", "TLSv1.0": "TLSv1",
}

// has reports whether the group word w means s.
func (s *suite) has(w string) bool {
	switch w {
	case s.name, tls.CipherSuiteName(s.id), "ALL", "DEFAULT":
		return true
	case "AES":
		return strings.Contains(s.words, "AES")
	}
	if a := aliases[w]; a != "" {
		w = a
	}
	return slices.Contains(strings.Fields(s.words), w)
}

// hasAll reports whether s is meant by every word of "A+B".
func (s *suite) hasAll(words string) bool {
	for w := range strings.SplitSeq(words, "+") {
		if !s.has(w) {
			return false
		}
	}
	return true
}

var errNoCipher = errors.New("no cipher is left")

// parseCiphers reads a list as ciphers(1) of OpenSSL describes it. The empty list is nil: crypto/tls chooses. Words
// that mean nothing here are told to warn.
func parseCiphers(list string, warn func(string, ...any)) ([]uint16, error) {
	if list == "" {
		return nil, nil
	}
	var order []uint16
	var killed []uint16
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
		verb, rest := byte(0), word
		switch word[0] {
		case '@': // the order of strength is ours already, and crypto/tls sets its own level
			continue
		case '!', '-', '+':
			verb, rest = word[0], word[1:]
		}
		var meant []uint16
		for i := range suites {
			if suites[i].hasAll(rest) {
				meant = append(meant, suites[i].id)
			}
		}
		if len(meant) == 0 && verb == 0 && !strings.HasPrefix(rest, "TLS_") {
			warn("ssl_ciphers: %s names no cipher that crypto/tls has", rest)
		}
		in := func(id uint16) bool { return slices.Contains(meant, id) }
		switch verb {
		case '!', '-':
			order = slices.DeleteFunc(order, in)
			if verb == '!' {
				killed = append(killed, meant...)
			}
		case '+':
			last := slices.DeleteFunc(slices.Clone(order), func(id uint16) bool { return !in(id) })
			order = append(slices.DeleteFunc(order, in), last...)
		default:
			for _, id := range meant {
				if !slices.Contains(order, id) && !slices.Contains(killed, id) {
					order = append(order, id)
				}
			}
		}
	}
	if len(order) == 0 {
		return nil, errNoCipher
	}
	return order, nil
}

// choose is the first cipher of order that offered has too and that usable allows; 0 if there is none.
func choose(order, offered []uint16, usable func(uint16) bool) uint16 {
	for _, id := range order {
		if slices.Contains(offered, id) && usable(id) {
			return id
		}
	}
	return 0
}

// signs reports whether suite id is for an ECDSA key, or for an RSA key.
func signs(id uint16, ecdsa bool) bool {
	for i := range suites {
		if suites[i].id == id {
			return suites[i].has("ECDSA") == ecdsa
		}
	}
	return false
}
