package tlsterm

import (
	"bytes"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStaple(t *testing.T) {
	ca := root(t, "root")
	leaf, other := ca.leaf("site.test"), ca.leaf("other.test")
	now := time.Now()
	hour := time.Hour
	f := newFolder(t)
	cert, file := f.put("s.pem", append(leaf.both(), ca.certPEM()...)), filepath.Join(f.path, "ocsp")
	tests := []struct {
		name string
		der  []byte
		want string // in the log; empty: it is stapled
	}{
		{"good", ca.response(leaf, now.Add(-hour), now.Add(hour)), ""},
		{"without an end", ca.response(leaf, now.Add(-hour), time.Time{}), ""},
		{"stale", ca.response(leaf, now.Add(-2*hour), now.Add(-hour)), "stale"},
		{"of the future", ca.response(leaf, now.Add(hour), now.Add(2*hour)), "only"},
		{"about another", ca.response(other, now.Add(-hour), now.Add(hour)), "another certificate"},
		{"signed by a stranger", root(t, "root").response(leaf, now.Add(-hour), now.Add(hour)), "signature"},
		{"nonsense", []byte("nonsense"), "none is stapled"},
	}
	for _, tt := range tests {
		f.put("ocsp", tt.der)
		term, j := open(t, Options{Certs: []string{cert}, OCSP: file})
		st, err, _ := shake(t, term, &tls.Config{RootCAs: ca.pool(), ServerName: "site.test"})
		if err != nil {
			t.Fatal(err)
		}
		if stapled := bytes.Equal(st.OCSPResponse, tt.der); stapled != (tt.want == "") {
			t.Errorf("%s: stapled %v", tt.name, stapled)
		}
		if log := strings.Join(j.all(), "\n"); !strings.Contains(log, tt.want) || tt.want == "" && log != "" {
			t.Errorf("%s: log %q", tt.name, log)
		}
	}
}

// A staple ends when it says so, and a new one is taken up.
func TestStapleEnds(t *testing.T) {
	ca := root(t, "root")
	leaf := ca.leaf("site.test")
	f := newFolder(t)
	now := time.Now()
	file := f.put("ocsp", ca.response(leaf, now.Add(-time.Hour), now.Add(time.Hour)))
	term, _ := open(t, Options{Certs: []string{f.put("s.pem", leaf.both())}, OCSP: file})
	r := term.cur.Load()
	if l := r.fallback.get(now.Add(2*time.Second), r); l.certs[0].OCSPStaple == nil {
		t.Error("a good response is not stapled")
	}
	if l := r.fallback.get(now.Add(2*time.Hour), r); l.certs[0].OCSPStaple != nil {
		t.Error("a stale response is stapled")
	}
	f.put("ocsp", ca.response(leaf, now.Add(time.Hour), now.Add(9*time.Hour)))
	if l := r.fallback.get(now.Add(3*time.Hour), r); l.certs[0].OCSPStaple == nil {
		t.Error("the new response is not stapled")
	}
}
