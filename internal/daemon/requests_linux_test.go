package daemon

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/testnet"
)

// do runs a command as a control client does.
func (d *Daemon) do(t *testing.T, command string) string {
	t.Helper()
	reply, err := d.ctl.Run(command, control.Position{Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// TestLogFormat changes the form of the log under a connection.
func TestLogFormat(t *testing.T) {
	addr, file := place127(), filepath.Join(t.TempDir(), "log")
	served(t, func(d *Daemon) {
		c := dial(t, addr)
		who(t, c)
		ask(t, c, "one\n")
		d.do(t, "log_format json")
		d.Sync()
		ask(t, c, "two\n")
		ask(t, c, "three\n")
		c.Close()
		await(t, "the end", func() bool { return d.proxy.Conns() == 0 })
		d.do(t, "log_format pen")
		d.Sync()
		c = dial(t, addr)
		who(t, c)
		ask(t, c, "four\n")
	}, addr, greeter(t, 'a').String(), "-l", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var l struct {
		Cause, Request string
		Up, Down       int
	}
	if len(lines) != 4 || !strings.HasSuffix(lines[0], " one") || !strings.HasSuffix(lines[2], " four") {
		t.Fatalf("%q", lines)
	}
	if err := json.Unmarshal([]byte(lines[1]), &l); err != nil || l.Cause != "client" || l.Request != "two" || l.Up != 14 || l.Down != 15 {
		t.Errorf("%s: %+v, %v", lines[1], l, err)
	}
}

// TestLogAtExit logs the connections that end with the program.
func TestLogAtExit(t *testing.T) {
	addr, file := place127(), filepath.Join(t.TempDir(), "log")
	served(t, func(*Daemon) { ask(t, dial(t, addr), "one\n") }, addr, testnet.Serve(t, testnet.Loopback(t), testnet.Echo()).String(),
		"-l", file, "-O", "log_format json")
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"up":4,"down":4,`) || !strings.Contains(string(text), `"cause":"exit","request":"one"`) {
		t.Errorf("%q, %v", text, err)
	}
}

// TestSystemLog has a log of the system of its own, in a place that only this thread sees.
func TestSystemLog(t *testing.T) {
	testnet.Need(t, testnet.Root)
	runtime.LockOSThread() // for good: a thread that sees other files is of no use to others
	if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	system, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: dir + "/log"})
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	if err := syscall.Mount(dir, "/var/run", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	line := func() string {
		t.Helper()
		b := make([]byte, 1<<11)
		if err := system.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := system.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	addr, file := place127(), filepath.Join(t.TempDir(), "log")
	served(t, func(d *Daemon) {
		c := dial(t, addr)
		who(t, c)
		ask(t, c, "one\n")
		if got := line(); !strings.HasPrefix(got, "<14>") || !strings.Contains(got, " pen[") || !strings.HasSuffix(got, " one") {
			t.Errorf("%q", got)
		}
		d.do(t, "log "+file)
		d.do(t, "log_syslog off")
		d.Sync()
		ask(t, c, "two\n")
		d.do(t, "log_syslog on")
		ask(t, c, "three\n")
		if got := line(); !strings.HasSuffix(got, " three") {
			t.Errorf("%q", got)
		}
	}, addr, greeter(t, 'a').String(), "-O", "log_syslog on")
	if text, err := os.ReadFile(file); err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%q, %v", text, err)
	}
}

// TestNoSystemLog serves all the same where there is none.
func TestNoSystemLog(t *testing.T) {
	for _, path := range []string{"/dev/log", "/var/run/syslog", "/var/run/log"} {
		if fi, err := os.Stat(path); err == nil && fi.Mode().Type() == os.ModeSocket {
			t.Skipf("%s is there", path)
		}
	}
	addr := place127()
	_, stderr := served(t, func(d *Daemon) {
		if who(t, dial(t, addr)) != 'a' {
			t.Error("not served")
		}
		if got := d.do(t, "json log_syslog on"); !strings.Contains(got, "cannot be reached") {
			t.Errorf("%q", got)
		}
	}, addr, greeter(t, 'a').String(), "-O", "log_syslog on")
	if !strings.Contains(stderr, "log_syslog: the log of the system cannot be reached") {
		t.Errorf("%q", stderr)
	}
}
