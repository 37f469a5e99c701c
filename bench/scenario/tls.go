package scenario

import (
	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/report"
)

// TLS reports whether the clients of the scenario speak TLS.
func (s *Scenario) TLS() bool { return len(s.Groups) > 0 && s.Groups[0].TLS != load.Plain }

// encrypted are the scenarios of TLS 1.3.
func encrypted() []Scenario {
	handshakes := func(name, title string, mode load.TLS) Scenario {
		return Scenario{Name: name, Title: title + ", one 64 B request, close; 20 in parallel", Columns: pingColumns,
			Groups: []load.Group{{Name: "short", Kind: load.Short, TLS: mode, Conns: 20, Request: 64, Reply: 64}}}
	}
	streams := func(name, title string, kind load.Kind) Scenario {
		return Scenario{Name: name, Title: title, Columns: bulkColumns,
			Groups: []load.Group{{Name: string(kind), Kind: kind, TLS: load.Full, Conns: 4}}}
	}
	rsa := handshakes("tls-full-rsa", "full TLS handshake with an RSA certificate", load.Full)
	rsa.RSA = true
	return []Scenario{
		handshakes("tls-full", "full TLS handshake", load.Full), rsa,
		handshakes("tls-resumed", "resumed TLS session", load.Resumed),
		streams("tls-down-s4", "4 bulk downloads through TLS", load.Down),
		streams("tls-up-s4", "4 bulk uploads through TLS", load.Up),
		{
			Name: "tls-idle", Title: "memory of 1,000 idle TLS connections that made one request each",
			Columns: []string{report.RSSPerConn, report.RSS},
			Groups:  []load.Group{{Name: "idle", Kind: load.Idle, TLS: load.Full, Conns: 1000, Request: 64, Reply: 64}},
		},
	}
}
