package report

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where the benchmark ran, and what was benchmarked.
type Machine struct {
	Processors int
	Processor  string // model name
	MemoryMB   int
	Kernel     string
	Go         string // version and platform of the compiler
	Commit     string // of the working directory; "+" when that had changes
}

// ThisMachine describes the running system. What it cannot learn stays empty.
func ThisMachine() Machine {
	return Machine{
		Processors: runtime.NumCPU(),
		Processor:  field(slurp("/proc/cpuinfo"), "model name"),
		MemoryMB:   kilobytes(field(slurp("/proc/meminfo"), "MemTotal")) / 1024,
		Kernel:     strings.TrimSpace(slurp("/proc/sys/kernel/osrelease")),
		Go:         runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Commit:     commit(),
	}
}

// CongestionControl is the default of the host.
func CongestionControl() string {
	return strings.TrimSpace(slurp("/proc/sys/net/ipv4/tcp_congestion_control"))
}

func slurp(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(b)
}

// field returns the value of the first line "name : value".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kilobytes reads "1234 kB"; anything else is 0.
func kilobytes(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(s, "kB")))
	if err != nil {
		return 0
	}
	return n
}

func commit() string {
	id, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(id))
	if changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changes) > 0 {
		name += "+"
	}
	return name
}
