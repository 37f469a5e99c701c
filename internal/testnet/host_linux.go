package testnet

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penlb/pen/internal/sock"
)

// Host is one machine of a Lab: a network namespace. Methods without an error result end the test on failure.
type Host struct {
	Name string
	t    testing.TB
	ns   *os.File
}

// Do runs f inside the host, on a thread of its own; see [sock.InNamespace] for what belongs there afterwards.
func (h *Host) Do(f func() error) error { return sock.InNamespace(int(h.ns.Fd()), f) }

// Exec prepares a program that will run inside the host, by nsenter(1). The caller starts it and must await it
// (Wait, at the latest in a Cleanup); what still runs at the end of the test is killed then. Its /sys is that of the
// machine.
func (h *Host) Exec(name string, args ...string) *exec.Cmd {
	return exec.CommandContext(h.t.Context(), "nsenter", append([]string{"--net=" + h.path(), "--", name}, args...)...)
}

// IP runs ip(8) inside the host.
func (h *Host) IP(args ...string) {
	h.t.Helper()
	h.run("ip", args...)
}

func (h *Host) run(name string, args ...string) {
	h.t.Helper()
	if out, err := h.Exec(name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %s %s: %v\n%s", h.Name, name, strings.Join(args, " "), err, out)
	}
}

// Listen is net.Listen inside the host. addr holds a literal IP address. The listener is closed at the end of the
// test.
func (h *Host) Listen(network, addr string) net.Listener {
	h.t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) { l, err = net.Listen(network, addr); return })
	if err != nil {
		h.t.Fatalf("%s: %v", h.Name, err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

// ListenPacket is net.ListenPacket inside the host, otherwise like Listen.
func (h *Host) ListenPacket(network, addr string) net.PacketConn {
	h.t.Helper()
	var c net.PacketConn
	err := h.Do(func() (err error) { c, err = net.ListenPacket(network, addr); return })
	if err != nil {
		h.t.Fatalf("%s: %v", h.Name, err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// Dial is net.Dial inside the host. addr holds a literal IP address. The caller closes the connection.
func (h *Host) Dial(network, addr string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, addr)
}

// DialContext is Dial with an end that ctx sets.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := h.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// SetSysctl sets a variable of sysctl(8) under net. inside the host.
func (h *Host) SetSysctl(name, value string) {
	h.t.Helper()
	if err := h.Do(func() error { return os.WriteFile(sysctlPath(name), []byte(value), 0) }); err != nil {
		h.t.Fatalf("%s: %v", h.Name, err)
	}
}

// Sysctl is the value of a variable of sysctl(8) under net. inside the host.
func (h *Host) Sysctl(name string) string {
	h.t.Helper()
	var v []byte
	if err := h.Do(func() (err error) { v, err = os.ReadFile(sysctlPath(name)); return }); err != nil {
		h.t.Fatalf("%s: %v", h.Name, err)
	}
	return strings.TrimSpace(string(v))
}

// sysctlPath maps a dotted name to its file. The kernel shows in /proc/sys/net the namespace of the thread that looks.
func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// Offload switches features of an interface by their ethtool(8) names ("tso", "gro", "tx"), so that a test sees the
// frames of a wire. It skips the test if the program is missing.
func (h *Host) Offload(ifname string, on bool, features ...string) {
	h.t.Helper()
	if _, err := exec.LookPath("ethtool"); err != nil {
		h.t.Skip(err)
	}
	state := map[bool]string{false: "off", true: "on"}[on]
	args := []string{"-K", ifname}
	for _, f := range features {
		args = append(args, f, state)
	}
	h.run("ethtool", args...)
}
