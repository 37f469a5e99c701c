package testnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reach sends a line from one host to an echo server on another.
func reach(t *testing.T, from, to *Host, addr string) {
	t.Helper()
	at := Serve(t, to.Listen("tcp", net.JoinHostPort(addr, "0")), Echo())
	c, err := from.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(addr), at.Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Errorf("%s to %s: %q, %v", from.Name, addr, got, err)
	}
}

func TestLink(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	a, b := lab.Host("a"), lab.Host("b")
	lab.Link(a, b, "10.1.0.1/24 fd01::1/64", "10.1.0.2/24 fd01::2/64")
	reach(t, a, b, "10.1.0.2")
	reach(t, b, a, "fd01::1")
}

func TestBridge(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	a, b, c := lab.Host("a"), lab.Host("b"), lab.Host("c")
	ifs := lab.Bridge("switch", Port{a, "10.2.0.1/24"}, Port{b, "10.2.0.2/24"}, Port{c, "10.2.0.3/24"})
	reach(t, a, b, "10.2.0.2")
	reach(t, c, a, "10.2.0.1")
	if diff := cmp.Diff([]string{"v0a", "v1a", "v2a"}, ifs); diff != "" {
		t.Error(diff)
	}
}

func TestRouting(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	client, router, server := lab.Host("client"), lab.Host("router"), lab.Host("server")
	lab.Link(client, router, "10.3.0.2/24", "10.3.0.1/24")
	lab.Link(server, router, "10.4.0.2/24", "10.4.0.1/24")
	client.IP("route", "add", "default", "via", "10.3.0.1")
	server.IP("route", "add", "default", "via", "10.4.0.1")
	router.SetSysctl("net.ipv4.ip_forward", "1")
	if got := router.Sysctl("net.ipv4.ip_forward"); got != "1" {
		t.Errorf("ip_forward = %q", got)
	}
	reach(t, client, server, "10.4.0.2")
}

func TestExec(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	h := lab.Host("h")
	h.IP("link", "add", "only0", "type", "bridge")
	cmd := h.Exec("cat", "/proc/self/net/dev")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "only0:") {
		t.Errorf("%v\n%s", err, out)
	}
	if dev, err := os.ReadFile("/proc/self/net/dev"); err != nil || strings.Contains(string(dev), "only0:") {
		t.Errorf("the host's interface is in the namespace of the test: %v", err)
	}
}

func TestOffload(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	a, b := lab.Host("a"), lab.Host("b")
	ifname, _ := lab.Link(a, b, "", "")
	a.Offload(ifname, false, "tso", "gso")
	out, err := a.Exec("ethtool", "-k", ifname).Output()
	if err != nil || !strings.Contains(string(out), "tcp-segmentation-offload: off") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRemoved checks that nothing holds a lab's namespaces once its test has ended.
func TestRemoved(t *testing.T) {
	Need(t, Root)
	before := descriptors()
	t.Run("inner", func(t *testing.T) {
		lab := New(t)
		lab.Link(lab.Host("a"), lab.Host("b"), "10.5.0.1/24", "10.5.0.2/24")
		lab.Host("a").Listen("tcp", "10.5.0.1:0")
	})
	if left := awaitClosed(before); len(left) != 0 {
		t.Errorf("left open: %q", left)
	}
}

func TestDo(t *testing.T) {
	Need(t, Root)
	h := New(t).Host("h")
	want := errors.New("mine")
	if err := h.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do: %v, want %v", err, want)
	}
}

func TestBlackHole(t *testing.T) {
	var d net.Dialer
	addr := BlackHole(t, Loopback(t), d.DialContext)
	d.Timeout = 300 * time.Millisecond
	var timeout net.Error
	if c, err := d.Dial("tcp", addr.String()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dial: %v, %v; want a timeout", c, err)
	}
}

func TestBlackHoleInLab(t *testing.T) {
	Need(t, Root)
	lab := New(t)
	a, b := lab.Host("a"), lab.Host("b")
	lab.Link(a, b, "10.6.0.1/24", "10.6.0.2/24")
	addr := BlackHole(t, b.Listen("tcp", "10.6.0.2:0"), a.DialContext)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var timeout net.Error
	if c, err := a.DialContext(ctx, "tcp", addr.String()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dial: %v, %v; want a timeout", c, err)
	}
}

// verdict records how Need ended a test.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()               {}
func (v *verdict) Skipf(string, ...any)  { v.skipped = true }
func (v *verdict) Fatalf(string, ...any) { v.failed = true }

func TestNeed(t *testing.T) {
	t.Setenv("PATH", "/nonexistent") // no ip(8)
	for must, want := range map[string]verdict{"": {skipped: true}, "1": {failed: true}} {
		t.Setenv("PEN_TEST_MUST", must)
		var got verdict
		Need(&got, Root)
		if got != want {
			t.Errorf("PEN_TEST_MUST=%q: %+v, want %+v", must, got, want)
		}
	}
}
