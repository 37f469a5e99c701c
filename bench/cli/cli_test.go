package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/report"
)

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		code int
		want string
	}{
		{"dance", 2, `unknown command "dance"`},
		{"-preset slow", 2, "quick and full"},
		{"-scenario none", 2, "there is only"},
		{"-peers none", 2, "there is only"},
		{"-rounds 0", 2, "at least one round"},
		{"-seconds -1", 2, "at least one round"},
		{"-rounds 1 extra", 2, "unexpected argument"},
		{"-nonsense", 2, "nonsense"},
		{"report", 2, "usage"},
		{"report /does/not/exist.json", 1, "no such file"},
		{"worker", 2, "worker"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			code := Main(strings.Fields(tt.args), io.Discard, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("status %d, %q; want %d, %q", code, &stderr, tt.code, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions(strings.Fields("-preset full -scenario short -seconds 0.25 -peers direct,iocopy"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != 1 || len(o.peers) != 2 || o.rounds != presets()["full"].rounds || o.window != 250*time.Millisecond {
		t.Errorf("%+v", o)
	}
	for name, p := range presets() {
		if _, err := parseOptions([]string{"-preset", name}, io.Discard); err != nil {
			t.Errorf("preset %s %+v: %v", name, p, err)
		}
	}
}

func TestReportAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &report.Report{Scenarios: []report.Scenario{{
		Name: "rr", Title: "ping", Columns: []string{report.OpsPerSecond},
		Cells: []report.Cell{{Peer: "direct", Samples: []report.Sample{{
			Round: 1, Window: time.Second, Groups: []load.GroupResult{{Kind: load.Ping, Done: 12345}},
		}}}},
	}}}
	file := filepath.Join(dir, "old.json")
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := Main([]string{"report", file}, &stdout, &stderr); code != 0 {
		t.Fatalf("status %d: %s", code, &stderr)
	}
	if !strings.Contains(stdout.String(), "12345") {
		t.Errorf("no figure in\n%s", &stdout)
	}
	for _, name := range []string{"old.md", "old/rr.png"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
