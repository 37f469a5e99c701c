package accesslog

import (
	"errors"
	"fmt"
	"strings"
)

// Dest is where a log goes: to a file or, as datagrams, to a log host.
type Dest struct {
	Path       string // not empty: a file
	Host, Port string // else a host, by name or address, and a port, by name or number
}

var (
	errEmpty  = errors.New("log without a name")
	errNoPort = errors.New("no port")
)

// ParseDest reads the argument of -l and `log`. With a colon in it and no slash in front it is host:port, split at
// the last colon, so that IPv6 addresses need no brackets but may have them; else a file.
//
// pen: takes the drive of `C:\pen.log` for a host.
func ParseDest(s string) (Dest, error) {
	if s == "" {
		return Dest{}, errEmpty
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || s[0] == '/' || hasDrive(s) {
		return Dest{Path: s}, nil
	}
	d := Dest{Host: s[:colon], Port: s[colon+1:]}
	if d.Port == "" {
		return Dest{}, fmt.Errorf("log host %q: %w", s, errNoPort)
	}
	if strings.HasPrefix(d.Host, "[") && strings.HasSuffix(d.Host, "]") {
		d.Host = d.Host[1 : len(d.Host)-1]
	}
	return d, nil
}

// hasDrive reports whether s is a file name with a drive. It does on every system: no host has one letter and a
// port that begins with a slash.
func hasDrive(s string) bool {
	return len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z'
}

// String is d as ParseDest reads it.
func (d Dest) String() string {
	if d.IsFile() {
		return d.Path
	}
	return d.Host + ":" + d.Port
}

// IsFile reports whether d is a file.
func (d Dest) IsFile() bool { return d.Path != "" }

// Format is the format that pen uses there.
func (d Dest) Format() Format {
	if d.IsFile() {
		return File
	}
	return Datagram
}
