package daemon

import (
	"bytes"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runPen runs pen in the foreground, with arguments that end it at once.
func runPen(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Main(Env{Args: append([]string{"pen", "-f"}, args...), Stdout: &out, Stderr: &err})
	return status, out.String(), err.String()
}

// place writes a file into a directory of its own.
func place(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pen.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheckPasses has configurations without mistakes, on a port that is taken.
func TestCheckPasses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, dir := l.Addr().String(), t.TempDir()
	file := place(t, "listen "+taken+"\nserver 0 address localhost port 80\nacl 1 deny 10.0.0.0/8\nclient_acl 1\nweb_stats "+dir+"/new\n")
	written := filepath.Join(dir, "written")
	for _, args := range [][]string{
		{"-O", "check", taken, "127.0.0.1:80"},
		{taken, "127.0.0.1:80", "-e", "localhost:9", "-O", "check"}, // options after the addresses
		{"-O", "check", "-F", file},
		{"-O", "check", "-F", file, "-l", dir + "/log", "-p", dir + "/pid", "-u", "root", "-C", dir + "/ctl",
			"-O", "control_dir " + dir, "-O", "control_mode 0660 0", "-O", "engine portable"},
		{"-O", "check", "-F", place(t, "write "+written+"\n"), dir + "/sock"},
	} {
		status, stdout, stderr := runPen(args...)
		if status != 0 || !strings.HasSuffix(stdout, "configuration ok\n") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the checks made %v, %v", left, err)
	}
}

// TestCheckFinds wants each mistake on a line of its own.
func TestCheckFinds(t *testing.T) {
	dir := t.TempDir()
	notSocket := place(t, "blacklist x\nfrob\n")
	tests := []struct {
		args []string
		want []string // beginnings of lines
	}{
		{[]string{"-F", notSocket, "127.0.0.1:80"},
			[]string{notSocket + ":1: blacklist: x is not a number", notSocket + ":2: frob: unknown command"}},
		{[]string{"-O", "timeout abc", "-O", "frob", "127.0.0.1:80"},
			[]string{"-O: timeout: abc is not a number", "-O: frob: unknown command"}},
		{[]string{"-F", dir + "/none", "127.0.0.1:80"}, []string{"Can't read config file '" + dir + "/none'"}},
		{nil, []string{"no address to listen at"}},
		{[]string{"192.0.2.254:80"}, []string{"can't bind local address: listen 192.0.2.254:0"}},
		{[]string{"127.0.0.1:x"}, []string{`port "x" out of range`}},
		{[]string{notSocket}, []string{"listen " + notSocket + ": exists and is not a socket"}},
		{[]string{"-O", "engine kqueue", "-O", "engine portable", "-O", "engine kqueue", "127.0.0.1:80"}, []string{"engine kqueue: "}},
		{[]string{"-u", "no such user", "-j", dir + "/none", "127.0.0.1:80"},
			[]string{"Can't getpwnam(no such user)", "jail: stat " + dir + "/none"}},
		{[]string{"-l", dir + "/none/log", "-p", dir, "-w", dir + "/none/w", "127.0.0.1:80"},
			[]string{"Can't open logfile " + dir + "/none/log", "Can't create pidfile " + dir, "web_stats: stat " + dir + "/none"}},
		{[]string{"-O", "control_dir " + dir + "/none", "-O", "control_mode 0660 nosuchgroup", "127.0.0.1:80"},
			[]string{"control_mode: group: unknown group nosuchgroup", "control_dir: stat " + dir + "/none"}},
		{[]string{"-O", "listen x", "-C", "y", "-u", "root"},
			[]string{`-O: listen: port "x" out of range`, `control socket: port "y" out of range`, "no address to listen at"}},
		{[]string{"-O", "ssl_ocsp_response " + dir + "/o", "-O", "ssl_sni_path " + notSocket, "127.0.0.1:80"},
			[]string{"ssl_ocsp_response: open " + dir + "/o", "ssl_sni_path: " + notSocket + " is not a directory"}},
	}
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		tests = append(tests, tests[0])
		tests[len(tests)-1].args, tests[len(tests)-1].want = []string{"-C", "9", "127.0.0.1:80"}, []string{"Won't open control port"}
	}
	for _, tt := range tests {
		status, stdout, stderr := runPen(append(tt.args, "-O", "check")...)
		var lines []string
		for line := range strings.Lines(stderr) {
			if rest, ok := strings.CutPrefix(line, "pen: "); ok {
				lines = append(lines, strings.TrimSpace(rest))
			}
		}
		if status != 1 || strings.Contains(stdout, "ok") || len(lines) != len(tt.want) {
			t.Errorf("%q: status %d, stdout %q, stderr:\n%s", tt.args, status, stdout, stderr)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%q: %q, want %q...", tt.args, lines[i], want)
			}
		}
	}
}

// TestMistakesAtStart ends with all of them told, before anything is opened.
func TestMistakesAtStart(t *testing.T) {
	file := place(t, "frob\nblacklist x\nserver 0 port http\nlisten 127.0.0.1:0\n")
	status, _, stderr := runPen("-F", file, "127.0.0.1:80")
	want := strings.ReplaceAll("pen: F:2: blacklist: x is not a number: want -2147483648 to 2147483647\n"+
		"pen: F:3: server: port http is not a number: want 0 to 65535\n"+
		`pen: F:4: listen: port "0" out of range: want 1 to 65535 or the name of a service, in "127.0.0.1:0"`+"\n", "F", file)
	if d := cmp.Diff(want, stderr); status != 1 || d != "" {
		t.Errorf("status %d (-want +got):\n%s", status, d)
	}
	status, _, stderr = runPen("-O", "include "+file, "127.0.0.1:80")
	if status != 1 || !strings.HasSuffix(stderr, want) {
		t.Errorf("by -O include: status %d, %s", status, stderr)
	}
}

// TestReload sends HUPs with a file that has a mistake, one that cannot be listened at, and a good one.
func TestReload(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // without SO_REUSEPORT: in the way
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	file, stop := filepath.Join(dir, "pen.cfg"), make(chan struct{})
	var log bytes.Buffer // written by this goroutine only, while the daemon is in Ready
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("blacklist 5\n")
	ready := func(d *Daemon) {
		defer close(stop)
		blacklist := func() string {
			reply, _ := d.ctl.Run("blacklist", d.opts.commands[0].from)
			return strings.TrimSpace(string(reply))
		}
		write("blacklist 6\nserver 0 address no..such\nacl 1 x\n")
		if d.reload(); blacklist() != "5" || !strings.Contains(log.String(), file+":3: acl: ") {
			t.Errorf("after a file with mistakes: blacklist %s, log:\n%s", blacklist(), &log)
		}
		if !strings.Contains(log.String(), file+":2: server: address no..such: ") {
			t.Errorf("not all mistakes are told:\n%s", &log)
		}
		write("blacklist 7\nlisten " + l.Addr().String() + "\nacl 1 deny 10.0.0.1\n")
		if d.reload(); blacklist() != "7" || d.ListenSpec() != dir+"/sock" || len(d.acl.Entries(1)) != 1 ||
			!strings.Contains(log.String(), file+":2: listen: can't bind local address") {
			t.Errorf("after a port that is taken: blacklist %s, listens at %s, log:\n%s", blacklist(), d.ListenSpec(), &log)
		}
		write("blacklist 8\nlisten " + dir + "/other\n")
		if d.reload(); blacklist() != "8" || d.ListenSpec() != dir+"/other" {
			t.Errorf("after a good file: blacklist %s, listens at %s, log:\n%s", blacklist(), d.ListenSpec(), &log)
		}
		os.Remove(file)
		if d.reload(); blacklist() != "8" || !strings.Contains(log.String(), "Can't read config file '"+file+"'") {
			t.Errorf("without a file: blacklist %s, log:\n%s", blacklist(), &log)
		}
	}
	status := Main(Env{Args: []string{"pen", "-f", "-F", file, "-O", "engine portable", "-O", "threads 1", dir + "/sock", "127.0.0.1:9"},
		Stdout: new(bytes.Buffer), Stderr: &log, Stop: stop, Ready: ready})
	if status != 0 {
		t.Errorf("status %d, log:\n%s", status, &log)
	}
}

// TestControlMode looks at the file of the control socket.
func TestControlMode(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		options []string
		want    os.FileMode
	}{
		{nil, 0o600},
		{[]string{"-O", "control_mode 0660"}, 0o660},
		{[]string{"-O", "control_mode 666 " + u.Gid}, 0o666},
	} {
		dir, stop := t.TempDir(), make(chan struct{})
		ready := func(*Daemon) {
			defer close(stop)
			if fi, err := os.Stat(dir + "/ctl"); err != nil || fi.Mode().Perm() != tt.want {
				t.Errorf("%q: mode %v, %v", tt.options, fi.Mode(), err)
			}
		}
		args := append([]string{"pen", "-f", "-u", u.Username, "-C", dir + "/ctl", "-O", "engine portable", dir + "/sock"}, tt.options...)
		var log bytes.Buffer
		if status := Main(Env{Args: args, Stdout: &log, Stderr: &log, Stop: stop, Ready: ready}); status != 0 {
			t.Errorf("%q: status %d, %s", tt.options, status, &log)
		}
	}
}
