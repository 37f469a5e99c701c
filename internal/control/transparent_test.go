package control

import (
	"errors"
	"strings"
	"testing"
)

// TestTransparent says what follows from commands, in turn, of a daemon that serves.
func TestTransparent(t *testing.T) {
	t.Parallel()
	e, r, said := newEnv(t)
	r.serving = true
	for _, tt := range []struct {
		line                 string
		err                  error // of the system
		transparent, strict  bool
		reply, saved, logged string
	}{
		{line: "transparent strict", err: errors.New("not permitted"), saved: "no transparent", logged: "transparent: not permitted"},
		{line: "transparent strict", transparent: true, strict: true, saved: "transparent strict"},
		{line: "transparent", err: errors.New("not permitted"), transparent: true, strict: true, saved: "transparent strict", logged: "transparent: not permitted"},
		{line: "transparent", transparent: true, saved: "transparent"},
		{line: "transparent_stats", transparent: true, reply: "client_address 3\n", saved: "transparent"},
		{line: "tproxy_setup on", transparent: true, saved: "transparent", logged: "effective only at start"},
		{line: "tproxy_setup maybe", transparent: true, saved: "transparent", logged: "want on or off"},
		{line: "no transparent", saved: "no transparent"},
	} {
		r.transparentErr = tt.err
		before := len(said.String())
		reply, s := do(e, tt.line), e.Settings.Get()
		if reply != tt.reply || s.Transparent != tt.transparent || s.TransparentStrict != tt.strict || s.TransparentSetup {
			t.Errorf("%s: reply %q, transparent %v, strict %v, set up %v", tt.line, reply, s.Transparent, s.TransparentStrict, s.TransparentSetup)
		}
		if got := strings.Join(transparentSave(e, s), ";"); got != tt.saved {
			t.Errorf("%s: saved as %q, want %q", tt.line, got, tt.saved)
		}
		if got := said.String()[before:]; !strings.Contains(got, tt.logged) || tt.logged == "" && got != "" {
			t.Errorf("%s: logged %q, want %q", tt.line, got, tt.logged)
		}
	}
}
