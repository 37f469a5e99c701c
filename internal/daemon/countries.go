package daemon

import "github.com/penlb/pen/internal/geoip"

// OpenCountries implements control.Runtime. Before the daemon serves the database is only named: it is opened before
// root and, maybe, the rest of the file system are given up.
func (d *Daemon) OpenCountries(path string) error {
	if !d.serving.Load() {
		return nil
	}
	return d.openCountries(path)
}

// openCountries lets access lists go by the database at path, or by none.
func (d *Daemon) openCountries(path string) error {
	if path == "" {
		d.acl.SetLocator(nil)
		return nil
	}
	db, err := geoip.Open(path)
	if err != nil {
		return err
	}
	d.acl.SetLocator(db)
	return nil
}

// reloadCountries reads the database again. One that cannot be read leaves the old one in effect.
func (d *Daemon) reloadCountries() {
	if path := d.store.Get().GeoIPDB; path != "" {
		if err := d.openCountries(path); err != nil {
			d.Logf("%v; the old one stays", err)
		}
	}
}
