package geoip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"
)

// ErrNoCountries is why a file of another kind, such as one of network operators, is not opened: no address would be
// in any country, and lists that deny countries would let everybody in.
var ErrNoCountries = errors.New("records have no country.iso_code")

// probes is how many records may lack a country before Open gives up. In files of countries nearly none do.
const probes = 1000

// DB knows the countries of addresses. It is immutable; its methods may be called from any goroutine.
type DB struct {
	reader *maxminddb.Reader
	path   []any     // of the code within a record
	codes  sync.Pool // of *string, which decoding would allocate
}

// Open reads the file at path into memory. It blocks while it does so. The error names path, and says that the file
// cannot be read, that it is not in MaxMind's format or damaged, or, as ErrNoCountries, that it is about something else.
func Open(path string) (*DB, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("country database: %w", err)
	}
	r, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("country database %s: %w", path, err)
	}
	db := &DB{reader: r, path: []any{"country", "iso_code"}, codes: sync.Pool{New: func() any { return new(string) }}}
	if err := db.probe(); err != nil {
		return nil, fmt.Errorf("country database %s, type %q: %w", path, r.Metadata.DatabaseType, err)
	}
	return db, nil
}

// probe looks for a record with a country.
func (db *DB) probe() error {
	n := 0
	for res := range db.reader.Networks() {
		if err := res.Err(); err != nil {
			return err
		}
		if db.code(res) != "" {
			return nil
		}
		if n++; n == probes {
			break
		}
	}
	return ErrNoCountries
}

// Country is the ISO 3166 code of the country where addr is, in capital letters, or empty if that is not known. It
// neither blocks nor allocates.
func (db *DB) Country(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return db.code(db.reader.Lookup(addr.Unmap().WithZone("")))
}

// code is the country code in a record; empty if there is none, or the record is damaged.
func (db *DB) code(res maxminddb.Result) string {
	p := db.codes.Get().(*string)
	defer db.codes.Put(p)
	*p = ""
	if res.DecodePath(p, db.path...) != nil {
		return ""
	}
	return *p
}
