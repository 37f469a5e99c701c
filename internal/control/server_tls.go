package control

import (
	"errors"

	"github.com/penlb/pen/internal/balance"
)

// noTLS is the word for a server that is spoken to in plain.
const noTLS = "off"

// lastOf is the value of the last key of that name in what follows `server`, empty if there is none.
func lastOf(args []string, key string) (value string) {
	for i := 1; i+1 < len(args); i += 2 {
		if args[i] == key {
			value = args[i+1]
		}
	}
	return value
}

// authoritiesOf is whose signatures `server` wants to trust: a file, the system, or empty for nobody's.
func authoritiesOf(args []string) string {
	if ca := lastOf(args, "tls"); ca != noTLS {
		return ca
	}
	return ""
}

// authoritiesFile is the file that `server` reads.
func authoritiesFile(_ *Env, args []string) string {
	if ca := authoritiesOf(args); ca != balance.SystemCAs {
		return ca
	}
	return ""
}

// openAuthorities reads the certificates of those who sign for the server.
func (c *call) openAuthorities() error {
	ca := authoritiesOf(c.args)
	if ca == "" {
		return nil
	}
	return c.Runtime.OpenAuthorities(ca)
}

// checkAuthorities wants the certificates to be there.
func (k *check) checkAuthorities() {
	if ca := authoritiesOf(k.line.args); ca != "" {
		if err := k.env.Runtime.TryAuthorities(ca); err != nil {
			k.wrong("%v", err)
		}
	}
}

var errNameless = errors.New("a Unix socket has no name that a certificate could be for: add sni NAME")

// serverTLS changes how s is spoken to. The last key of each name counts, for it is the one that has been looked at.
func serverTLS(args []string, s *balance.Config) error {
	if name := lastOf(args, "sni"); name != "" {
		s.TLS.Name = name
	}
	switch ca := lastOf(args, "tls"); ca {
	case "":
	case noTLS:
		s.TLS = balance.TLS{}
	default:
		s.TLS.CA = ca
	}
	if s.TLS.CA != "" && s.Path != "" && s.TLS.Name == "" {
		return errNameless
	}
	return nil
}

// tlsSaved is how the server is spoken to, as keys of `server`. A host that gave the name becomes the name: what is
// written of the address does not tell.
func tlsSaved(t *balance.Config) (keys string) {
	name := t.TLS.Name
	if t.TLS.CA != "" {
		keys = " tls " + t.TLS.CA
		if name == "" {
			name = t.Host
		}
	}
	if name != "" {
		keys += " sni " + name
	}
	return keys
}
