package balance

import "net/netip"

// What takes the place of an index where no server of the table is meant.
const (
	None      = -1 // no server
	Emergency = -2 // the server of last resort (-e)
	Abuse     = -3 // the server for clients that the service's access list denies (-B)
)

// MaxServers bounds the table. Each slot up to the highest index costs memory and time, so that `server 99999999`
// must be an error and not an outage.
const MaxServers = 1 << 16

// Config is one server as the user wrote it.
type Config struct {
	Addr   netip.Addr
	Host   string // the name that Addr was looked up from; empty: it was given as an address
	Path   string // not empty: a Unix socket, and Addr and Port mean nothing
	Port   uint16 // 0: never used
	Max    int    // connections at the same time, the soft limit; 0: any number, and Hard means nothing
	Hard   int    // connections when the client is known to be on this server; at most Max: no extra room
	Weight int    // share of the connections when servers are chosen by weight; 0: none
	Prio   int    // lowest is first when servers are chosen by priority
	ACL    int    // list of those who may use the server
	TLS    TLS
	Tunnel bool // packets to it go in packets (IPIP), where packets are forwarded and connections are not
}

// TLS is how a server is spoken to; the zero value: in plain.
type TLS struct {
	CA   string // file of the authorities that may have signed its certificate, or [SystemCAs]; empty: no TLS
	Name string // what the certificate must be for, and what the server is asked for; empty: see ServerName
}

// SystemCAs means the authorities that the system trusts.
const SystemCAs = "system"

// ServerName is what the server's certificate must be for: TLS.Name, else the server's name, else its address. It is
// empty for a Unix socket without TLS.Name, whose certificate cannot be verified.
func (c *Config) ServerName() string {
	switch {
	case c.TLS.Name != "":
		return c.TLS.Name
	case c.Path != "" || c.Host != "":
		return c.Host
	case !c.Addr.IsValid():
		return ""
	}
	return c.Addr.WithZone("").String()
}

// Usable reports whether the server is somewhere. An unspecified address takes a server out of use, as
// `server N address 0.0.0.0` asks for.
func (c *Config) Usable() bool {
	return c.Path != "" || c.Port != 0 && c.Addr.IsValid() && !c.Addr.IsUnspecified()
}

// target is a Config that is published: nobody changes it any more.
type target struct {
	Config
	usable bool
}

func newTarget(c Config) *target { return &target{Config: c, usable: c.Usable()} }

// Client is who asks for a server.
type Client struct {
	Addr   netip.Addr // invalid: a Unix client, whom every access list permits
	Port   uint16
	Server int // where the client was last time, an index; or None
}

// Permitter knows the access lists.
type Permitter interface {
	// Permits reports whether the numbered list lets addr in. It is called on the hot path: it must neither block
	// nor allocate. An invalid address is always permitted.
	Permits(list int, addr netip.Addr) bool
}
