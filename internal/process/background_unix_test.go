//go:build unix

package process

import (
	"errors"
	"fmt"
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

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/sock"
)

// TestMain is also the second process of the tests: its first argument says which.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if second := seconds[os.Args[1]]; second != nil {
			if err := second(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var seconds = map[string]func(args []string) error{
	"exit": func(args []string) error {
		n, err := strconv.Atoi(args[0])
		if err == nil {
			os.Exit(n)
		}
		return err
	},
	"kill": func([]string) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {}
	},
	"serve": serve,
	"jail":  jail,
	"keep":  keep,
}

// serve goes to the background and sends to the socket args[0] what it sees there.
func serve(args []string) error {
	b, err := OpenBackground(NewLogger("test", os.Stderr))
	if err != nil {
		return err
	}
	report := fmt.Sprintln("background again:", IsBackground())
	child, err := exec.Command("env").Output()
	if err != nil {
		return err
	}
	report += fmt.Sprintln("told to children:", strings.Contains(string(child), readyFD))
	// The leader of a session cannot begin another one.
	_, err = syscall.Setsid()
	report += fmt.Sprintln("session of its own:", errors.Is(err, syscall.EPERM))
	if err := b.Ready(0, 2); err != nil {
		return err
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return err
	}
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		report += fmt.Sprintln(f.Name(), "let go:", os.SameFile(fi, null))
	}
	to, err := net.Dial("unixgram", args[0])
	if err != nil {
		return err
	}
	_, err = to.Write([]byte(report + strings.Join(os.Args, " ")))
	return err
}

// jail goes to the background from inside the directory args[0], with the system's log at args[1].
func jail(args []string) error {
	l := NewLogger("test", os.Stderr)
	b, err := OpenBackground(l)
	if err != nil {
		return err
	}
	system := &syslog{name: "test", pid: 1, paths: args[1:]}
	system.dial()
	b.system = system
	if err := DropPrivileges(Privileges{Jail: args[0], User: "nobody"}); err != nil {
		return err
	}
	if err := b.Ready(0, 1, 2); err != nil {
		return err
	}
	wd, err := os.Getwd()
	groups, gerr := os.Getgroups()
	l.Print(Notice, "uid %d gid %d groups %v in %s, %v", os.Getuid(), os.Getgid(), groups, wd, errors.Join(err, gerr))
	return nil
}

// keep becomes nobody with one capability and prints its capabilities.
func keep([]string) error {
	p := Privileges{User: "nobody", Keep: []sock.Capability{sock.CapNetBindService}}
	if err := DropPrivileges(p); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if caps, ok := strings.CutPrefix(line, "CapEff:\t"); ok {
			fmt.Print(caps)
		}
	}
	return nil
}

func TestDetachPassesStatusOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   []string
		status int
		err    string
	}{
		{[]string{"exit", "0"}, 0, ""},
		{[]string{"exit", "7"}, 7, ""},
		{[]string{"kill"}, 1, "the background process: signal: killed"},
	} {
		status, err := Detach(append([]string{"test"}, tt.args...))
		if status != tt.status || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%v: %d, %v, want %d, %q", tt.args, status, err, tt.status, tt.err)
		}
	}
}

func TestDetach(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "report")
	report := listenLog(t, path)
	if status, err := Detach([]string{"a name", "serve", path, "-x"}); status != 0 || err != nil {
		t.Fatal(status, err)
	}
	want := `background again: false
told to children: false
session of its own: true
/dev/stdin let go: true
/dev/stdout let go: false
/dev/stderr let go: true
a name serve ` + path + ` -x`
	if os.Getenv(readyFD) != "" {
		t.Error("the first process took itself for the second")
	}
	// Where stdout is the null device it cannot be let go.
	if d := cmp.Diff(want, receive(t, report)); d != "" && !sameAsNull(t, os.Stdout) {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func sameAsNull(t *testing.T, f *os.File) bool {
	t.Helper()
	null, err := os.Stat(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	return err == nil && os.SameFile(fi, null)
}

// TestJail: what lets go of the terminal must have been opened before the jail, in which there is neither a null
// device nor a system's log.
func TestJail(t *testing.T) {
	t.Parallel()
	nobody := needNobody(t)
	dir := shortDir(t)
	if err := os.Mkdir(filepath.Join(dir, "jail"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := listenLog(t, filepath.Join(dir, "log"))
	status, err := Detach([]string{"test", "jail", filepath.Join(dir, "jail"), filepath.Join(dir, "log")})
	if status != 0 || err != nil {
		t.Fatal(status, err)
	}
	want := fmt.Sprintf("uid %s gid %s groups [%s] in /, <nil>", nobody.Uid, nobody.Gid, nobody.Gid)
	if got := receive(t, log); !strings.HasSuffix(got, " test[1]: "+want) {
		t.Errorf("%q, want ... %q", got, want)
	}
}

func TestOpenBackgroundRefuses(t *testing.T) {
	for _, v := range []string{"x", "0", "2", "-1"} {
		t.Setenv(readyFD, v)
		if b, err := OpenBackground(NewLogger("test", nil)); b != nil || err == nil {
			t.Errorf("%s=%s: %v, %v", readyFD, v, b, err)
		}
		if IsBackground() {
			t.Errorf("%s=%s is still there", readyFD, v)
		}
	}
	t.Setenv(readyFD, "")
	b, err := OpenBackground(nil)
	if b != nil || err != nil {
		t.Errorf("in the foreground: %v, %v", b, err)
	}
	if err := b.Ready(0, 1, 2); err != nil {
		t.Error(err)
	}
}

func TestDropPrivilegesFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p    Privileges
		want string
	}{
		{Privileges{}, ""},
		{Privileges{User: "no such user"}, "Can't getpwnam(no such user): user: unknown user no such user"},
		{Privileges{Jail: "/no/such/jail"}, "Can't chroot(/no/such/jail): "},
	} {
		err := DropPrivileges(tt.p)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.p, err, tt.want)
		}
	}
}

// needNobody is the user nobody, whom only root can become.
func needNobody(t *testing.T) *user.User {
	t.Helper()
	u, err := user.Lookup("nobody")
	if os.Getuid() != 0 || err != nil {
		t.Skipf("needs root, and the user nobody: %v", err)
	}
	return u
}

// shortDir is a directory whose path is short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pen")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// listenLog is a system's log at path, open to everybody.
func listenLog(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1000)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
