package report

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/bench/load"
)

var update = flag.Bool("update", false, "write the golden files")

func example() *Report {
	sample := func(round int, cpu time.Duration, done uint64) Sample {
		return Sample{
			Round: round, Window: time.Second, Conns: 50, Proxy: cpu > 0, CPU: cpu, Busy: cpu + 10*time.Millisecond, Empty: 1e6, RSS: 2e6,
			Groups: []load.GroupResult{{
				Name: "rr", Kind: load.Ping, Done: done, Bytes: done * 64,
				P50: 500 * time.Microsecond, P99: time.Millisecond, P999: 2 * time.Millisecond,
			}},
		}
	}
	rounds := func(cpu time.Duration, done uint64) []Sample {
		return []Sample{sample(0, cpu*2, done), sample(1, cpu, done), sample(2, cpu*101/100, done), sample(3, cpu*99/100, done)}
	}
	failing := rounds(time.Second, 90_000)
	failing[1].Groups[0].Errors = 2
	return &Report{
		Created: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		Machine: Machine{Processors: 2, Processor: "Processor", MemoryMB: 4096, Kernel: "6.18", Go: "go1.26 linux/amd64", Commit: "0123456789ab"},
		Method:  Method{Preset: "quick", Rounds: 3, Window: time.Second, Lab: true, Congestion: "cubic", LoadCPU: 1},
		Peers: []Peer{
			{Name: "direct", Title: "no proxy"},
			{Name: "pen-uring", Title: "pen, uring", Ours: true, Path: "/bin/pen", Version: "1"},
			{Name: "haproxy", Title: "HAProxy", Path: "/usr/sbin/haproxy", Version: "2.6"},
			{Name: "nginx", Title: "nginx", Missing: "not | found\nanywhere"},
		},
		Scenarios: []Scenario{
			{
				Name: "rr", Title: "ping", Columns: []string{CPUPerOp, P99, OpsPerSecond},
				Cells: []Cell{
					{Peer: "direct", Samples: rounds(0, 100_000)},
					{Peer: "pen-uring", Samples: rounds(800*time.Millisecond, 90_000)},
					{Peer: "haproxy", Samples: failing},
				},
			},
			{
				Name: "idle", Title: "memory", Columns: []string{RSSPerConn},
				Cells: []Cell{{Peer: "haproxy", Error: "client: no | connection"}},
			},
		},
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := example().Markdown(&b, "plots"); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.md")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r.json")
	want := example()
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"no JSON": "pen", "empty": "{}", "not there": ""} {
		file := filepath.Join(t.TempDir(), "r.json")
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Read(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPlots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := example()
	if err := r.Plots(dir); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Scenarios {
		f, err := os.Open(filepath.Join(dir, s.Name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := png.DecodeConfig(f); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0.000", 0.1234: "0.123", 1.234: "1.23", 12.34: "12.3", 99999.4: "99999", -0.5: "-0.500"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestMachineFields(t *testing.T) {
	t.Parallel()
	const text = "processor\t: 0\nmodel name\t: Some CPU @ 2: fast\nmodel name\t: other\nMemTotal:       2048 kB\n"
	if got := field(text, "model name"); got != "Some CPU @ 2: fast" {
		t.Errorf("model %q", got)
	}
	if got := kilobytes(field(text, "MemTotal")); got != 2048 {
		t.Errorf("memory %d", got)
	}
	if got := kilobytes(field(text, "nothing")); got != 0 {
		t.Errorf("nothing is %d", got)
	}
}
