package proc

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseBusy(t *testing.T) {
	t.Parallel()
	const stat = "cpu  1 2 3 4 5 6 7 8 9 10\n" +
		"cpu0 100 1 50 9999 77 3 4 2 40 0\n" +
		"cpu10 1 0 0 0 0 0 0 0 0 0\n" +
		"intr 12345\n"
	tests := []struct {
		cpu  int
		want time.Duration
		ok   bool
	}{
		{0, 160 * tick, true}, // 100+1+50+3+4+2: no idle, iowait, guest
		{10, tick, true},
		{1, 0, false},
	}
	for _, tt := range tests {
		got, err := parseBusy(stat, tt.cpu)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("processor %d: %v, %v; want %v", tt.cpu, got, err, tt.want)
		}
	}
	for _, broken := range []string{"", "cpu0\n", "cpu0 a b c d e f g h\n"} {
		if _, err := parseBusy(broken, 0); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
}

func TestParseParent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in          string
		pid, parent int
		ok          bool
	}{
		{"42 (nginx) S 7 42 42 0", 42, 7, true},
		{"42 (a) b (c) S 7 42", 42, 7, true},
		{"42 nginx S 7", 0, 0, false},
		{"42 (nginx)", 0, 0, false},
		{"", 0, 0, false},
		{")(", 0, 0, false},
		{"x (nginx) S 7", 0, 7, false},
	}
	for _, tt := range tests {
		pid, parent, ok := parseParent([]byte(tt.in))
		if ok != tt.ok || ok && (pid != tt.pid || parent != tt.parent) {
			t.Errorf("%q: %d, %d, %v", tt.in, pid, parent, ok)
		}
	}
}

func TestParseRSS(t *testing.T) {
	t.Parallel()
	got, err := parseRSS("55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss:                1234 kB\nPss:  1 kB\n")
	if err != nil || got != 1234<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseRSS("Pss: 1 kB\n"); err == nil {
		t.Error("no error without Rss")
	}
}

func TestMeasureSeesWorkAndMemory(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := Measure(self)
	if err != nil {
		t.Fatal(err)
	}
	const work = 20 * time.Millisecond
	now, err := before, error(nil)
	for start := time.Now(); now.CPU-before.CPU < work && err == nil; now, err = Measure(self) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("after 10 s of work the clock shows %v", now.CPU-before.CPU)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if now.RSS < 1<<20 {
		t.Errorf("resident memory of %d bytes", now.RSS)
	}
}

func TestMeasureOfNobody(t *testing.T) {
	t.Parallel()
	if _, err := Measure([]int{1 << 30}); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestTreeHasChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tree, err := Tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if tree[0] != os.Getpid() || !slices.Contains(tree, cmd.Process.Pid) {
		t.Errorf("tree %v, want %d first and %d in it", tree, os.Getpid(), cmd.Process.Pid)
	}
}
