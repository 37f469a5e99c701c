package daemon

import (
	"crypto/tls"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/penlb/pen/internal/getopt"
	"github.com/penlb/pen/internal/tlsterm"
)

// Sizes of the loops' buffers with TLS: what is decrypted or encrypted at once. There is no splicing then, and a system
// call for each record of 16 KB costs as much as the cipher. With io_uring more buffers take turns, and large ones would
// not stay in the cache (bench tls-down-s4: 0.55 s/GB with 32 KB, 0.50 with 64 KB, 0.56 with 128 KB; epoll 0.49, 0.46 and
// 0.48 with 64, 128 and 256 KB).
const (
	tlsBuf     = 128 << 10
	tlsRingBuf = 64 << 10
)

// tlsGarbage is how much garbage there may be, in percent of what is in use, before it is collected, unless GOGC says
// else. What is in use is mostly idle connections, of 4 KB each, and the garbage that of their handshakes: 70 instead of
// Go's 100 saves 1.5 KB per connection, and costs 5 % of the processor time of full handshakes (bench tls-idle, tls-full);
// 50 would save 2.4 KB and cost 10 %.
const tlsGarbage = 70

// tlsOption takes an option of TLS.
func (d *Daemon) tlsOption(o getopt.Option) error {
	t := &d.opts.tls
	switch o.Flag {
	case 'E':
		t.Certs = append(t.Certs, o.Arg)
	case 'K':
		t.Keys = append(t.Keys, o.Arg)
	case 'G':
		t.CAFile = o.Arg
	case 'A':
		t.CADir = o.Arg
	case 'R':
		t.Require = true
	case 'L':
		if words := tlsterm.Protocols(); !slices.Contains(words, o.Arg) {
			return fmt.Errorf("protocol version %s not known: -L takes %s", o.Arg, strings.Join(words, ", "))
		}
		t.Protocol = o.Arg
	case 'Z':
		// Asked OpenSSL to work around bugs of others, which crypto/tls does not offer.
	}
	return nil
}

// tlsOptions is what the command line and the settings say of TLS.
func (d *Daemon) tlsOptions() tlsterm.Options {
	o, s := d.opts.tls, d.store.Get()
	o.MinVersion, o.Words, o.Ciphers = s.TLSMin, s.SSLOptions, s.SSLCiphers
	o.SNIPath, o.SNIStrict, o.OCSP = s.SSLSNIPath, s.SNIStrict, s.SSLOCSPResponse
	o.TicketKeys, o.ALPN = s.TicketKeys, s.ALPN
	return o
}

// openTLS reads certificates and keys, if -E asks for TLS.
func (d *Daemon) openTLS() error {
	if len(d.opts.tls.Certs) == 0 {
		return nil
	}
	t, err := tlsterm.New(d.tlsOptions(), d.Logf)
	if err != nil {
		return pensWords("Unable to create default context", err)
	}
	d.term = t
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(tlsGarbage)
	}
	return nil
}

// tlsConfig is how clients are spoken to; nil: without TLS.
func (d *Daemon) tlsConfig() *tls.Config {
	if d.term == nil {
		return nil
	}
	return d.term.Config()
}

// bufSize is the size of the loops' buffers; 0 leaves it to them.
func (d *Daemon) bufSize() int {
	if d.term == nil && !d.wantsServerTLS() {
		return 0
	}
	engine := d.store.Get().Engine
	for _, a := range d.ladder {
		if engine == "" && a.OK {
			engine = a.Name
		}
	}
	if engine == "uring" {
		return tlsRingBuf
	}
	return tlsBuf
}

// refreshTLS follows a change of the settings.
func (d *Daemon) refreshTLS() {
	if d.term == nil {
		return
	}
	if err := d.term.Apply(d.tlsOptions()); err != nil {
		d.Logf("TLS stays as it was: %v", err)
	}
}

// reloadTLS reads the files of certificates, authorities and keys again.
func (d *Daemon) reloadTLS() {
	if err := d.serverTLS.Reload(); err != nil {
		d.Logf("authorities of servers: %v; the old ones stay", err)
	}
	if d.term == nil {
		return
	}
	if err := d.term.Reload(); err != nil {
		d.Logf("TLS stays as it was: %v", err)
	}
}

// checkTLS looks at certificates, keys and options of TLS.
func (d *Daemon) checkTLS() error {
	if err := d.openTLS(); err != nil || d.term == nil {
		return err
	}
	d.term.Close()
	return nil
}
