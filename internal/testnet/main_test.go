package testnet

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

func TestRunSeesLeaks(t *testing.T) {
	stop := make(chan struct{})
	var kept *os.File
	for _, c := range []struct {
		name  string
		tests func() int
		linux bool // seen only through /proc
		want  int
		says  string
	}{
		{name: "clean", tests: func() int { return 0 }, want: 0},
		{name: "failed", tests: func() int { return 3 }, want: 3},
		{name: "descriptor", tests: func() int { kept, _ = os.Open(os.Args[0]); return 0 }, linux: true, want: 1, says: "left open"},
		{name: "goroutine", tests: func() int { go func() { <-stop }(); return 0 }, want: 1, says: "unexpected goroutines"},
	} {
		if c.linux && runtime.GOOS != "linux" {
			continue
		}
		// The runner of this very test is no leak.
		var w strings.Builder
		if got := run(c.tests, &w, goleak.IgnoreCurrent()); got != c.want {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.want)
		}
		if got := w.String(); !strings.Contains(got, c.says) || (got == "") != (c.says == "") {
			t.Errorf("%s: says %q, want %q", c.name, got, c.says)
		}
		if kept != nil {
			kept.Close()
			kept = nil
		}
	}
	close(stop)
}

func TestDescriptorReplaced(t *testing.T) {
	if len(descriptors()) == 0 {
		t.Skip("no /proc/self/fd")
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors()
	c.Close()
	f, err := os.Open(os.Args[0]) // gets the number of c
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if leaked := awaitClosed(before); len(leaked) != 1 {
		t.Errorf("leaked %q, want the file alone", leaked)
	}
}
