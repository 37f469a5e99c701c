package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTLSCommands(t *testing.T) {
	t.Parallel()
	e, _, log := newEnv(t)
	do(e, "alpn h2,http/1.1", "sni_strict on", "ticket_keys /k", "tls_min 1.0", "tls_min 9")
	s := e.Settings.Get()
	if s.ALPN != "h2,http/1.1" || !s.SNIStrict || s.TicketKeys != "/k" || s.TLSMin != "1.0" {
		t.Errorf("settings %+v", s)
	}
	do(e, "sni_strict off")
	if e.Settings.Get().SNIStrict {
		t.Error("sni_strict off has no effect")
	}
	want := "test: tls_min: '9' is no version of TLS: want one of [\"1.0\" \"1.1\" \"1.2\" \"1.3\"]\n"
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}
