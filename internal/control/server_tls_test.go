package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/balance"
)

func TestServerTLS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want balance.TLS // of server 0, which has {"old.pem", "old.test"}
		name string      // ServerName
		log  string
	}{
		{"server 0 max 1", balance.TLS{CA: "old.pem", Name: "old.test"}, "old.test", ""},
		{"server 0 tls ca.pem", balance.TLS{CA: "ca.pem", Name: "old.test"}, "old.test", ""},
		{"server 0 tls system sni a.test", balance.TLS{CA: "system", Name: "a.test"}, "a.test", ""},
		{"server 0 sni a.test tls system sni b.test", balance.TLS{CA: "system", Name: "b.test"}, "b.test", ""},
		{"server 0 tls off", balance.TLS{}, "127.0.0.1", ""},
		{"server 0 tls off address localhost", balance.TLS{}, "localhost", ""},
		{"server 0 tls off address localhost address ::1", balance.TLS{}, "::1", ""},
		{"server 0 tls /broken tls off", balance.TLS{}, "127.0.0.1", ""},
		{"server 0 tls off tls /broken port 9", balance.TLS{CA: "old.pem", Name: "old.test"}, "old.test",
			"test: server: it is broken; server 0 stays as it is\n"},
		{"server 0 address /run/app", balance.TLS{CA: "old.pem", Name: "old.test"}, "old.test", ""},
		{"server 0 address /run/app tls off", balance.TLS{}, "", ""},
	}
	for _, tt := range tests {
		e, _, log := newEnv(t)
		do(e, "server 0 tls old.pem sni old.test", tt.line)
		s := e.Service.Config(0)
		if d := cmp.Diff(tt.want, s.TLS); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, d)
		}
		if got := s.ServerName(); got != tt.name {
			t.Errorf("%s: name %q, want %q", tt.line, got, tt.name)
		}
		if s.Port != 1000 || log.String() != tt.log {
			t.Errorf("%s: port %d, log %q", tt.line, s.Port, log)
		}
	}
}

// TestServerTLSNames: a certificate has to be for something.
func TestServerTLSNames(t *testing.T) {
	t.Parallel()
	e, r, log := newEnv(t)
	if got := do(e, "json server 0 address /run/app tls system"); !strings.Contains(got, "add sni NAME") {
		t.Errorf("reply %s", got)
	}
	if s := e.Service.Config(0); s.Path != "" || s.TLS.CA != "" || !strings.Contains(log.String(), "add sni NAME") {
		t.Errorf("server %+v, log %q", s, log)
	}
	do(e, "server 0 address localhost tls ca.pem", "server 1 address 10.0.0.1 tls system")
	want := []string{
		"server 0 acl 0 address 127.0.0.1 port 1000 max 0 hard 0 tls ca.pem sni localhost",
		"server 1 acl 0 address 10.0.0.1 port 2000 max 0 hard 0 tls system",
	}
	if d := cmp.Diff(want, serverSave(e, e.Settings.Get())); d != "" {
		t.Errorf("saved (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"system", "ca.pem", "system"}, r.authorities); d != "" {
		t.Errorf("opened (-want +got):\n%s", d)
	}
	if got := do(e, "json servers"); !strings.Contains(got, `"tls":"ca.pem"`) {
		t.Errorf("servers: %s", got)
	}
}

// TestServerTLSMistakes: neither a command line nor a file goes on without the certificates that it names.
func TestServerTLSMistakes(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	if _, err := e.Run("server 0 tls /broken", Position{Source: "-O"}); err == nil || err.Error() != "-O: server 0: it is broken" {
		t.Errorf("command line: %v", err)
	}
	dir := files(t, map[string]string{"cfg": "blacklist 7\nserver 0 tls /broken port 9\n"})
	if err := e.RunFile(dir + "/cfg"); err == nil || !strings.Contains(err.Error(), "cfg:2: server: it is broken") {
		t.Errorf("file: %v", err)
	}
	if s := e.Service.Config(0); s.Port != 1000 || s.TLS.CA != "" || e.Settings.Get().Rules.Blacklist.Seconds() != 30 {
		t.Errorf("in effect: %+v", s)
	}
}
