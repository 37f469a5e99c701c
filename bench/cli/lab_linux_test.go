package cli

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/bench/report"
)

// program is the whole benchmark, as a user starts it.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip to set up a network namespace")
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := probe.Run(); err != nil {
		t.Skipf("needs the right to make a network namespace: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(self, append([]string{"bench"}, args...)...)
}

func TestInsideOfALab(t *testing.T) {
	dir := t.TempDir()
	cmd := program(t, "-scenario", "rr64-c50", "-peers", "direct,iocopy", "-rounds", "1", "-seconds", "0.1", "-out", dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := report.Read(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Method.Lab || len(r.Scenarios) != 1 || len(r.Scenarios[0].Cells) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, c := range r.Scenarios[0].Cells {
		if got := c.Summary(report.OpsPerSecond); c.Error != "" || got.Median <= 0 {
			t.Errorf("%s: %+v, error %q", c.Peer, got, c.Error)
		}
	}
	for _, name := range []string{"bench.md", "bench/rr64-c50.png"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// An interrupted benchmark ends what it started, removes its files and writes nothing.
func TestInterruptInsideOfALab(t *testing.T) {
	dir := t.TempDir()
	cmd := program(t, "-peers", "iocopy", "-seconds", "60", "-out", filepath.Join(dir, "out"))
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	var said bytes.Buffer
	for in := bufio.NewReader(pipe); ; {
		b, err := in.ReadByte()
		if err != nil {
			break
		}
		said.WriteByte(b)
		if strings.HasSuffix(said.String(), "iocopy") { // it is being measured
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("%v\n%s", err, &said)
	}
	// Whatever it started has our TMPDIR in its environment.
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range environments {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte("TMPDIR="+dir)) {
			t.Errorf("%s is still running", filepath.Dir(file))
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("left behind: %s", f.Name())
	}
}
