//go:build unix

package penlogd

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is penlogd, built once for all tests of this file.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "penlogd")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/penlb/pen/cmd/penlogd").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)
}

// await waits until path has the content want.
func await(t *testing.T, path, want string) {
	t.Helper()
	var got []byte
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got, err = os.ReadFile(path); err == nil && string(got) == want {
			return
		}
	}
	t.Fatalf("%s: %q, %v, want %q", path, got, err, want)
}

// TestBackground follows penlogd from its start, over a rotation of the log, to its end.
func TestBackground(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	log, pidFile := filepath.Join(dir, "log"), filepath.Join(dir, "pid")
	penlogd := program(t)
	if out, err := exec.Command(penlogd, "-l", filepath.Join(dir, "no", "log"), port).CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "no such file") {
		t.Errorf("log that cannot be opened: %v, %q", err, out)
	}
	if out, err := exec.Command(penlogd, "-l", log, "-p", pidFile, port).CombinedOutput(); err != nil {
		t.Fatalf("%v, %q", err, out)
	}
	text, err := os.ReadFile(pidFile) // is there as soon as the first process has ended
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	to, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()

	const one, two = "x \"GET /1\"\n", "x \"GET /2\"\n"
	if _, err := to.Write([]byte(one)); err != nil {
		t.Fatal(err)
	}
	await(t, log, one)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, log, "")
	if _, err := to.Write([]byte(two)); err != nil {
		t.Fatal(err)
	}
	await(t, log, two)
	await(t, log+".1", one)
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(pidFile); os.IsNotExist(err) {
			ended = true
			break
		}
		if time.Now().After(end) {
			t.Fatal("the pid file is still there")
		}
	}
}
