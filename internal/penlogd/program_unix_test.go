//go:build unix

package penlogd

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program builds penlogd and is its path.
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
	pid := background(t, pidFile, penlogd, "-l", log, "-p", pidFile, port)
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
	end(t, pid, pidFile)
}

// TestJail looks at what penlogd leaves behind in its jail, and as whom.
func TestJail(t *testing.T) {
	t.Parallel()
	nobody, err := user.Lookup("nobody")
	if os.Getuid() != 0 || err != nil {
		t.Skipf("needs root, and the user nobody: %v", err)
	}
	jail := filepath.Join(t.TempDir(), "jail")
	if err := os.Mkdir(jail, 0o700); err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	if err := os.Chown(jail, uid, gid); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(jail, "pid")
	pid := background(t, pidFile, program(t), "-j", jail, "-u", "nobody", "-l", "log", "-p", "/pid", freePort(t))
	fi, err := os.Stat(filepath.Join(jail, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("the log belongs to user %d, group %d, want %d, %d", st.Uid, st.Gid, uid, gid)
	}
	end(t, pid, pidFile)
}

// background starts penlogd and returns the number of the process that stays. It is killed if the test fails.
func background(t *testing.T, pidFile string, command ...string) (pid int) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v, %q", err, out)
	}
	text, err := os.ReadFile(pidFile) // is there as soon as the first process has ended
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(string(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(pidFile); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return pid
}

// end asks penlogd to end and waits until it has.
func end(t *testing.T, pid int, pidFile string) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for stop := time.Now().Add(10 * time.Second); time.Now().Before(stop); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(pidFile); os.IsNotExist(err) {
			return
		}
	}
	t.Fatal("the pid file is still there")
}
