package testnet

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package and ends the process, with a failure if they left goroutines or, where there is
// /proc/self/fd, descriptors behind. It is the body of a TestMain:
//
//	func TestMain(m *testing.M) { testnet.Main(m) }
func Main(m *testing.M, opts ...goleak.Option) {
	os.Exit(run(m.Run, os.Stderr, opts...))
}

// run is Main for any set of tests; it complains to w and returns the exit code.
func run(tests func() int, w io.Writer, opts ...goleak.Option) int {
	wakePoller()
	before := descriptors()
	code := tests()
	if code != 0 {
		return code // a failed test may leave anything behind
	}
	if err := goleak.Find(opts...); err != nil {
		fmt.Fprintln(w, "testnet:", err)
		code = 1
	}
	if leaked := awaitClosed(before); len(leaked) > 0 {
		fmt.Fprintf(w, "testnet: descriptors left open:\n\t%s\n", strings.Join(leaked, "\n\t"))
		code = 1
	}
	return code
}

// wakePoller makes the runtime open the descriptors of its own that it keeps for ever.
func wakePoller() {
	if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		l.Close()
	}
}

// awaitClosed lists what is open now but was not before, after a moment of grace for threads that are ending.
func awaitClosed(before map[string]string) []string {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		now := descriptors()
		maps.DeleteFunc(now, func(fd, what string) bool { return before[fd] == what })
		if len(now) == 0 || time.Now().After(deadline) {
			var leaked []string
			for fd, what := range now {
				leaked = append(leaked, fd+" "+what)
			}
			slices.Sort(leaked)
			return leaked
		}
		if onlyPipes(now) {
			// io.Copy between sockets splices through pipes that package net keeps until they are collected. The
			// collector would also close a lost os.File, so it may not run while there is anything else.
			runtime.GC()
		}
	}
}

func onlyPipes(open map[string]string) bool {
	for _, what := range open {
		if !strings.HasPrefix(what, "pipe:") {
			return false
		}
	}
	return true
}

// descriptors maps the number of every open descriptor to what it is; it is empty where there is no /proc/self/fd.
func descriptors() map[string]string {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	open := make(map[string]string, len(entries))
	for _, e := range entries {
		// The directory itself was open while it was read, and is gone now.
		if what, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			open[e.Name()] = what
		}
	}
	return open
}
