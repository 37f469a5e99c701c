package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/stat: USER_HZ, proc_stat(5).
const tick = 10 * time.Millisecond

// Busy returns how long processor cpu has been doing anything since the system started, in steps of 10 ms.
func Busy(cpu int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(b), cpu)
}

// parseBusy sums user, nice, system, irq, softirq and steal of one processor; guest time is part of user time.
func parseBusy(stat string, cpu int) (time.Duration, error) {
	name := "cpu" + strconv.Itoa(cpu)
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] != name {
			continue
		}
		var sum time.Duration
		for i, field := range f[1:9] {
			if i == 3 || i == 4 { // idle, iowait
				continue
			}
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/stat: %w", err)
			}
			sum += time.Duration(n) * tick
		}
		return sum, nil
	}
	return 0, fmt.Errorf("/proc/stat: no %s", name)
}

// Tree returns pid and its descendants, parents first. Processes that end meanwhile are left out.
func Tree(pid int) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if child, parent, ok := parseParent(b); ok {
			children[parent] = append(children[parent], child)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		slices.Sort(children[tree[i]])
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// parseParent reads the pid and its parent's from /proc/PID/stat. The name between them may hold spaces and brackets.
func parseParent(stat []byte) (pid, parent int, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, 0, false
	}
	rest := bytes.Fields(stat[end+1:])
	if len(rest) < 2 {
		return 0, 0, false
	}
	pid, err1 := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	parent, err2 := strconv.Atoi(string(rest[1]))
	return pid, parent, err1 == nil && err2 == nil
}

// Usage is what a tree of processes has used.
type Usage struct {
	CPU time.Duration // since the processes began
	RSS uint64        // resident bytes now; pages shared by two processes count twice
}

// Measure sums the usage of the given processes. Those that have ended count nothing, but all of them is an error.
func Measure(pids []int) (Usage, error) {
	var sum Usage
	var errs []error
	for _, pid := range pids {
		cpu, err := cpuTime(pid)
		if err != nil {
			errs = append(errs, fmt.Errorf("processor time of %d: %w", pid, err))
			continue
		}
		rss, err := resident(pid)
		if err != nil {
			errs = append(errs, fmt.Errorf("memory of %d: %w", pid, err))
			continue
		}
		sum.CPU += cpu
		sum.RSS += rss
	}
	if len(errs) == len(pids) {
		return Usage{}, errors.Join(errs...)
	}
	return sum, nil
}

func resident(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseRSS(string(b))
}

// parseRSS reads the line "Rss: 1234 kB" of /proc/PID/smaps_rollup, which unlike statm is exact.
func parseRSS(rollup string) (uint64, error) {
	for line := range strings.Lines(rollup) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "Rss:" && f[2] == "kB" {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("smaps_rollup: no Rss")
}
