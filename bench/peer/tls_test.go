package peer

import (
	"crypto/rsa"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestTLS: whoever takes part in scenarios of TLS is told so, and can read the certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	var path string
	for _, withRSA := range []bool{true, false} {
		var err error
		if path, err = WriteCert(t.TempDir(), withRSA); err != nil {
			t.Fatal(err)
		}
		c, err := tls.LoadX509KeyPair(path, path)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := c.PrivateKey.(*rsa.PrivateKey); is != withRSA {
			t.Errorf("an RSA key: %v, want %v", is, withRSA)
		}
	}
	for _, p := range All() {
		if p.PlainOnly || p.Mode != "" {
			continue
		}
		for _, cert := range []string{"", path} {
			s := &Setup{Listen: netip.MustParseAddrPort("127.0.0.1:1"), Backend: netip.MustParseAddrPort("127.0.0.1:2"), Conns: 9, Cert: cert}
			told := slices.Contains(p.argv(s), "-E")
			if p.config != nil {
				told = strings.Contains(p.config(s), path) && strings.Contains(p.config(s), " ssl")
			}
			if told != (cert != "") {
				t.Errorf("%s: TLS %v, want %v", p.Name, told, cert != "")
			}
		}
	}
}
