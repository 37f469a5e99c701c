package daemon

import (
	"crypto/tls"
	"errors"

	"github.com/penlb/pen/internal/balance"
)

var errUnprepared = errors.New("pen was started without TLS towards servers, and its loops splice; " +
	"restart it with tls of a server in the configuration")

// TryAuthorities implements control.Runtime.
func (d *Daemon) TryAuthorities(ca string) error {
	if err := d.takesTLS(); err != nil {
		return err
	}
	return d.serverTLS.Try(ca)
}

// OpenAuthorities implements control.Runtime.
func (d *Daemon) OpenAuthorities(ca string) error {
	if err := d.takesTLS(); err != nil {
		return err
	}
	return d.serverTLS.Open(ca)
}

// takesTLS is nil if a server can be spoken to with TLS. Loops that are prepared for it cannot splice, so that those of
// a pen which never needs it are not.
func (d *Daemon) takesTLS() error {
	if d.serving.Load() && d.proxy.ServerTLS == nil {
		return errUnprepared
	}
	return nil
}

// wantsServerTLS reports whether a server is to be spoken to with TLS.
func (d *Daemon) wantsServerTLS() bool {
	for i := range d.servers.Len() {
		if d.servers.Target(i).TLS.CA != "" {
			return true
		}
	}
	return false
}

// serverConfig is how the loops speak TLS with servers; nil: not at all. With -E they are prepared anyway.
func (d *Daemon) serverConfig() func(int, *balance.Config) *tls.Config {
	if d.term == nil && !d.wantsServerTLS() {
		return nil
	}
	return d.serverTLS.Config
}

// checkServerTLS refuses TLS where it cannot be spoken.
func (d *Daemon) checkServerTLS() error {
	switch {
	case !d.wantsServerTLS():
		return nil
	case d.rawPath():
		return errors.New("server: tls is not for dsr_if, whose servers answer their clients themselves; leave one of them out")
	case d.store.Get().UDP:
		return errors.New("server: tls is not for UDP; leave it or -U out")
	}
	return nil
}
