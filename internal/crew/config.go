package crew

import (
	"net/netip"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/tproxy"
)

// Config is what the workers of a service work with. All of it is shared with the control commands.
type Config struct {
	Settings *settings.Store
	Servers  *balance.Service
	Clients  *client.Table
	ACL      *acl.Table
	Log      *sink.Log // with a producer for each worker

	// Face is what servers see of clients with transparent.
	Face *tproxy.Face

	// Debugf takes what pen prints with -d of at least that level; Logf what an operator must see.
	Debugf func(level int, format string, args ...any)
	Logf   func(format string, args ...any)
	// Dump takes pieces of data, made readable, at debug levels above 2.
	Dump func(text []byte)
}

// Pick takes a place at the first server for c at the time now, in nanoseconds since 1970; balance.None if there is none.
func (c *Config) Pick(st *settings.Settings, who *balance.Client, now int64) int {
	if c.ACL.Permits(st.ClientACL, who.Addr) {
		return c.Servers.Pick(&st.Rules, who, now)
	}
	return c.Servers.PickAbuse(&st.Rules, who, now)
}

// Disguised reports whether a server is to be spoken to from the client's address. An address that `source` gives to the
// server's family takes precedence. The error is [tproxy.ErrRefused].
func (c *Config) Disguised(client, server netip.Addr, st *settings.Settings) (bool, error) {
	if !st.Transparent || st.Source.IsValid() && st.Source.Is4() == server.Is4() {
		return false, nil
	}
	return c.Face.Source(client, server, st.TransparentStrict)
}
