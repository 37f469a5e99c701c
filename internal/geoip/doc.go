// Package geoip tells the country of an address from a file in MaxMind's format, for `acl N permit country CC`. The
// file is the user's: GeoLite2 Country or City, DB-IP Lite, or any other whose records have country.iso_code.
//
// The whole file is read into memory. It is not mapped, so that a file that is overwritten or cut short in place harms
// nobody, and a [DB] that has been replaced simply goes away when its last reader is done. To load a newer file, open
// it and hand it to acl.Table.SetLocator in place of the old one.
//
// pen: reads the legacy GeoIP format, whose files are no longer made.
package geoip
