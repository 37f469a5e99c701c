package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penlb/pen/internal/settings"
)

// TestCountriesWithoutDatabase wants one line in the log, and none where a database is set.
func TestCountriesWithoutDatabase(t *testing.T) {
	t.Parallel()
	const told = "access list 3 names the country SE, which matches nobody"
	tests := []struct {
		name    string
		serving bool
		lines   string
		want    int
	}{
		{"while it serves", true, "acl 3 permit country se;acl 3 deny country de;acl 4 deny country fr", 1},
		{"no countries", true, "acl 3 permit 10.0.0.1;pid", 0},
		{"with a database", true, "geoip_db /db;acl 3 permit country se", 0},
		{"at start, before all is read", false, "acl 3 permit country se", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, r, log := newEnv(t)
			r.serving = tt.serving
			do(e, strings.Split(tt.lines, ";")...)
			if n := strings.Count(log.String(), told); n != tt.want {
				t.Errorf("told %d times, want %d: %q", n, tt.want, log)
			}
		})
	}
	e, r, log := newEnv(t)
	r.serving = false
	do(e, "acl 3 permit country se")
	e.ReportCountries()
	if !strings.Contains(log.String(), told) {
		t.Errorf("at start: %q", log)
	}
}

// TestGeoIPOfRemoteClients keeps TCP clients from files outside control_dir.
func TestGeoIPOfRemoteClients(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	reply, err := e.execute("json geoip_db /etc/passwd", Position{Source: "control"}, Remote)
	if err != nil || r.countries != "" || !strings.Contains(string(reply), "no files for TCP clients") {
		t.Errorf("%s, %v; opened %q", reply, err, r.countries)
	}
}

// TestCongestionOfBefore reads a file again whose congestion control only root could choose.
func TestCongestionOfBefore(t *testing.T) {
	t.Parallel()
	e, _, log := newEnv(t)
	file := filepath.Join(t.TempDir(), "cfg")
	if err := os.WriteFile(file, []byte("congestion nosuch\nspin 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.RunFile(file); err == nil || e.Settings.Get().Spin != 0 {
		t.Errorf("one that cannot be had: %v", err)
	}
	e.Settings.Update(func(s *settings.Settings) { s.Congestion = "nosuch" })
	if err := e.RunFile(file); err != nil || e.Settings.Get().Spin == 0 {
		t.Errorf("%v; %s", err, log)
	}
}
