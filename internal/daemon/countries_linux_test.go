//go:build !386 && !arm && !mips && !mipsle

// The writer of test databases needs an int of 64 bits.

package daemon

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// writeCountries makes the file at path a database of the countries of addresses.
func writeCountries(t *testing.T, path string, countries map[string]string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for addr, code := range countries {
		_, network, err := net.ParseCIDR(addr + "/32")
		if err == nil {
			err = tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCountries lets clients in by where they are, after a database that changes, breaks and goes away.
func TestCountries(t *testing.T) {
	addr, db := place127(), filepath.Join(t.TempDir(), "db")
	writeCountries(t, db, map[string]string{"127.0.0.2": "SE", "127.0.0.3": "DE"})
	p := serving(t, addr, greeter(t, 'a').String(), "-O", "acl 1 permit country SE", "-O", "client_acl 1", "-O", "geoip_db "+db)
	served := func(from string) bool {
		c := dial(t, addr, from)
		defer c.Close()
		return who(t, c) == 'a'
	}
	if !served("127.0.0.2") || served("127.0.0.3") || served("127.0.0.4") {
		t.Error("others than Sweden are served")
	}
	writeCountries(t, db, map[string]string{"127.0.0.3": "SE"})
	hup := func() {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup()
	await(t, "the new database", func() bool { return served("127.0.0.3") && !served("127.0.0.2") })
	if err := os.WriteFile(db, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup()
	await(t, "the report", func() bool { return strings.Contains(p.err.String(), "the old one stays") })
	if !served("127.0.0.3") || served("127.0.0.2") {
		t.Error("a database that is broken is in effect")
	}
	if strings.Contains(p.err.String(), "matches nobody") {
		t.Errorf("%s", &p.err)
	}
}

// TestCountriesAtStart begins without a database, and with one that cannot be read.
func TestCountriesAtStart(t *testing.T) {
	addr := place127()
	p := serving(t, addr, greeter(t, 'a').String(), "-O", "acl 1 deny country SE", "-O", "acl 2 deny country SE")
	if got := strings.Count(p.err.String(), "access list 1 names the country SE, which matches nobody"); got != 1 {
		t.Errorf("told %d times: %s", got, &p.err)
	}
	for _, args := range [][]string{nil, {"-O", "check"}} {
		p = begin(t, append([]string{"-f", place127(), "127.0.0.1:9", "-O", "geoip_db /no/such"}, args...)...)
		if s := p.status(); s != 1 || !strings.Contains(p.err.String(), "country database: open /no/such") {
			t.Errorf("%q: status %d: %s", args, s, &p.err)
		}
	}
}
