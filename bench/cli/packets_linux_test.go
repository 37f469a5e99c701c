package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/penlb/pen/bench/report"
)

// Frames without a load balancer, and with the least there is, over the switch of the lab.
func TestPacketsInsideOfALab(t *testing.T) {
	if _, err := exec.LookPath("nsenter"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and the command nsenter")
	}
	dir := t.TempDir()
	cmd := program(t, "-scenario", "dsr60", "-peers", "direct,redirect,iocopy", "-rounds", "1", "-seconds", "0.1", "-out", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := report.Read(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	cells := r.Scenarios[0].Cells
	if len(cells) != 2 {
		t.Fatalf("cells %+v", cells)
	}
	for _, c := range cells {
		if c.Error != "" || c.Summary(report.PacketsPerSec).Median <= 0 {
			t.Errorf("cell %+v", c)
		}
	}
}
