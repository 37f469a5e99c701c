package tlsterm

import (
	"crypto/tls"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCiphers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want []string
	}{
		{"ECDHE-RSA-AES256-GCM-SHA384", []string{"ECDHE-RSA-AES256-GCM-SHA384"}},
		{"ECDHE+AESGCM:!aRSA", []string{"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"}},
		{"AES128-SHA AES256-SHA,AES128-SHA", []string{"AES128-SHA", "AES256-SHA"}},
		{"kRSA+AESGCM:+AES256", []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384"}},
		{"AES128-SHA:-AES128-SHA:AES128-SHA", []string{"AES128-SHA"}},
		{"AES128-SHA:!AES128-SHA:AES128-SHA", nil},
		{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", []string{"ECDHE-ECDSA-AES128-GCM-SHA256"}},
		{"CHACHA20:@STRENGTH:@SECLEVEL=2:!aNULL", []string{"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"}},
		{"MEDIUM+ECDHE", []string{"ECDHE-RSA-DES-CBC3-SHA"}},
		{"DHE-RSA-AES256-SHA", nil},
		{"eNULL", nil},
	}
	for _, tt := range tests {
		ids, err := parseCiphers(tt.in, func(string, ...any) {})
		var got []string
		for _, id := range ids {
			for _, s := range suites {
				if s.id == id {
					got = append(got, s.name)
				}
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v\n%s", tt.in, err, diff)
		}
	}
}

func FuzzCiphers(f *testing.F) {
	f.Add("HIGH:!aNULL:-SHA1:+AES128:@STRENGTH")
	f.Fuzz(func(t *testing.T, in string) {
		ids, err := parseCiphers(in, func(string, ...any) {})
		if err == nil && in != "" && len(ids) == 0 {
			t.Errorf("%q leaves nothing", in)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		o         Options
		low, high uint16
		warnings  int
	}{
		{Options{}, tls.VersionTLS12, tls.VersionTLS13, 0},
		{Options{Protocol: "tls1", MinVersion: "1.0"}, tls.VersionTLS10, tls.VersionTLS13, 0},
		{Options{Protocol: "ssl3"}, tls.VersionTLS12, tls.VersionTLS13, 1},
		{Options{Words: []string{"no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1.1", preference}}, tls.VersionTLS12, tls.VersionTLS13, 0},
		{Options{Words: []string{"no_tlsv1.2"}}, tls.VersionTLS13, tls.VersionTLS13, 0},
		{Options{Words: []string{"no_tlsv1.3"}}, tls.VersionTLS12, tls.VersionTLS12, 0},
		{Options{MinVersion: "1.0", Words: []string{"no_tlsv1.1"}}, tls.VersionTLS12, tls.VersionTLS13, 1},
		{Options{MinVersion: "1.0", Words: []string{"no_tlsv1.2", "no_tlsv1.3", "fast"}}, tls.VersionTLS10, tls.VersionTLS11, 1},
		{Options{MinVersion: "1.3", Words: []string{"no_tlsv1.3"}}, 0, 0, 0},
	}
	for _, tt := range tests {
		n := 0
		low, high, err := tt.o.bounds(func(string, ...any) { n++ })
		if low != tt.low || high != tt.high || n != tt.warnings || (err != nil) != (tt.low == 0) {
			t.Errorf("%+v: %x to %x, %d warnings, %v", tt.o, low, high, n, err)
		}
	}
}
