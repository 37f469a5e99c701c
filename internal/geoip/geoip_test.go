//go:build !386 && !arm && !mips && !mipsle

// The writer of test databases needs an int of 64 bits.

package geoip

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/penlb/pen/internal/acl"
)

var _ acl.Locator = (*DB)(nil)

// build is a database of the given records, by network.
func build(t testing.TB, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, record := range records {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// in is a record like those of GeoLite2 Country.
func in(code string) mmdbtype.DataType {
	return mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String("XX")},
		"country":   mmdbtype.Map{"geoname_id": mmdbtype.Uint32(1), "iso_code": mmdbtype.String(code)},
	}
}

func file(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func world(t testing.TB) string {
	return file(t, build(t, map[string]mmdbtype.DataType{
		"192.0.2.0/24":    in("SE"),
		"198.51.100.0/25": in("DE"),
		"203.0.113.0/24":  mmdbtype.Map{"continent": mmdbtype.Map{"code": mmdbtype.String("EU")}},
		"203.0.114.0/24":  mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(7)}},
		"2001:db8::/32":   in("FR"),
	}))
}

func TestCountry(t *testing.T) {
	t.Parallel()
	db := open(t, world(t))
	for addr, want := range map[string]string{
		"192.0.2.0":        "SE",
		"192.0.2.255":      "SE",
		"192.0.3.0":        "",
		"198.51.100.127":   "DE",
		"198.51.100.128":   "",
		"::ffff:192.0.2.1": "SE",
		"2001:db8::1":      "FR",
		"2001:db8::1%eth0": "FR",
		"2001:db9::":       "",
		"203.0.113.1":      "", // a continent only
		"203.0.114.1":      "", // not a word
		"":                 "", // a Unix client
	} {
		a, _ := netip.ParseAddr(addr)
		if got := db.Country(a); got != want {
			t.Errorf("%q is in %q, want %q", addr, got, want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	whole := build(t, map[string]mmdbtype.DataType{"192.0.2.0/24": in("SE")})
	tests := []struct {
		name string
		path string
		is   error
		says string
	}{
		{"absent", filepath.Join(t.TempDir(), "absent"), fs.ErrNotExist, "country database: open "},
		{"directory", t.TempDir(), nil, "is a directory"},
		{"empty", file(t, nil), nil, "test.mmdb: "},
		{"text", file(t, []byte("GeoIP.dat is not here")), nil, "invalid MaxMind DB"},
		{"cut short", file(t, whole[:len(whole)/4]), nil, "invalid MaxMind DB"},
		{"operators", file(t, build(t, map[string]mmdbtype.DataType{
			"192.0.2.0/24": mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(1)},
		})), ErrNoCountries, `type "Test"`},
		{"no networks", file(t, build(t, nil)), ErrNoCountries, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(tt.path)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) ||
				strings.Count(err.Error(), tt.path) != 1 {
				t.Errorf("%v; want the path once, %q, and %v", err, tt.says, tt.is)
			}
		})
	}
}

// A damaged file yields wrong answers at worst.
func TestDamaged(t *testing.T) {
	t.Parallel()
	whole := build(t, map[string]mmdbtype.DataType{"192.0.2.0/24": in("SE"), "2001:db8::/32": in("FR")})
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 0xff
		db, err := Open(file(t, data))
		if err != nil {
			continue
		}
		db.Country(netip.MustParseAddr("192.0.2.1"))
		db.Country(netip.MustParseAddr("2001:db8::1"))
	}
}

// Whoever asks while a newer file replaces the old one, which is overwritten in place, gets the old answer or the new.
func TestReload(t *testing.T) {
	t.Parallel()
	path := file(t, build(t, map[string]mmdbtype.DataType{"192.0.2.0/24": in("SE")}))
	var table acl.Table
	entry, err := acl.ParseEntry([]string{"permit", "country", "NO"})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Add(1, entry); err != nil {
		t.Fatal(err)
	}
	table.SetLocator(open(t, path))
	client := netip.MustParseAddr("192.0.2.1")
	if table.Permits(1, client) {
		t.Fatal("permitted by the old file")
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			was := false
			for {
				select {
				case <-stop:
					return
				default:
				}
				is := table.Permits(1, client)
				if was && !is {
					t.Error("back to the old file")
					return
				}
				was = is
			}
		})
	}
	if err := os.WriteFile(path, build(t, map[string]mmdbtype.DataType{"192.0.2.0/24": in("NO")}), 0o600); err != nil {
		t.Fatal(err)
	}
	table.SetLocator(open(t, path))
	if !table.Permits(1, client) {
		t.Error("not permitted by the new file")
	}
	close(stop)
	wg.Wait()
}

func TestAllocs(t *testing.T) {
	db := open(t, world(t))
	a4, a6, none := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.1")
	if n := testing.AllocsPerRun(1000, func() {
		db.Country(a4)
		db.Country(a6)
		db.Country(none)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCountry(b *testing.B) {
	db := open(b, world(b))
	a := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		db.Country(a)
	}
}
