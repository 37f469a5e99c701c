package penlogd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/penlb/pen/internal/accesslog/match"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func now() time.Time { return time.Unix(0, 0) }

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		want options
		ok   bool
	}{
		{"10000", options{entries: 1000, port: 10000}, true},
		{"10000 -fbd -l log", options{entries: 1000, port: 10000, foreground: true, debug: true, log: "log"}, true},
		{"-j /jail -u me -p pid -n 5 1", options{entries: 5, port: 1, jail: "/jail", user: "me", pid: "pid"}, true},
		{"65536", options{}, false},
		{"-n 0 1", options{}, false},
		{"-n many 1", options{}, false},
		{"-l", options{}, false},
		{"-Z 1", options{}, false},
		{"port", options{}, false},
		{"1 2", options{}, false},
		{"", options{}, false},
	}
	for _, tt := range tests {
		got, err := parse(strings.Fields(tt.args))
		if (err == nil) != tt.ok {
			t.Errorf("parse(%q): %v", tt.args, err)
		}
		if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(options{})); tt.ok && d != "" {
			t.Errorf("parse(%q) (-want +got):\n%s", tt.args, d)
		}
	}
}

func TestMainSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tests := []struct {
		name, args     string
		status         int
		stdout, stderr string
	}{
		{"no arguments", "", 0, usage, ""},
		{"unknown option", "-Z 1", 0, usage, "penlogd: invalid option -- 'Z'\n"},
		{"port", "70000", 1, "", "penlogd: port 70000 out of range\n"},
		{"log", "-f -l " + dir + "/no/log 0", 1, "", "log file"},
		{"pid", "-f -l " + dir + "/log -p " + dir + "/no/pid 0", 1, "", "pid file"},
		{"user", "-f -u nobody-has-this-name 0", 1, "", "user nobody-has-this-name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, err bytes.Buffer
			args := append([]string{"penlogd"}, strings.Fields(tt.args)...)
			status := Main(Env{Args: args, Stdout: &out, Stderr: &err, Now: now})
			if status != tt.status || out.String() != tt.stdout || !strings.Contains(err.String(), tt.stderr) {
				t.Errorf("status %d, stdout %q, stderr %q", status, out.String(), err.String())
			}
		})
	}
}

// start serves on a free port of the loopback interface and returns a socket connected to it.
func start(t *testing.T, entries int, out *output, debugf func(string, ...any)) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{conn: conn, cache: match.NewCache(entries), out: out, debugf: debugf, now: now}
	done := make(chan error)
	go func() { done <- s.serve() }()
	t.Cleanup(func() {
		conn.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	to, err := net.DialUDP("udp", nil, conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return to
}

// lines hands out what is written, a Write at a time.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

func (l lines) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-l:
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing came, want %q", want)
	}
}

func send(t *testing.T, to *net.UDPConn, datagrams ...string) {
	t.Helper()
	for _, d := range datagrams {
		if _, err := to.Write([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	got, said := make(lines, 10), make(lines, 10)
	out, err := openOutput("", got, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	to := start(t, 10, out, func(format string, args ...any) { fmt.Fprintf(said, format, args...) })
	send(t, to, "+ 192.0.2.1 127.0.0.1 GET /a HTTP/1.1\n", `x - - [t] "GET /a HTTP/1.1" 200`)
	got.expect(t, `192.0.2.1 - - [t] "GET /a HTTP/1.1" 200`+"\n")
	send(t, to, "+ 192.0.2.2 127.0.0.1 GET /b\nx \"GET /b\" 1\n\nx \"GET /c\" 2\n")
	got.expect(t, "192.0.2.2 \"GET /b\" 1\n")
	got.expect(t, "x \"GET /c\" 2\n")
	send(t, to, "", "+ 1.2.3.4 999.9.9.9 x\n", "no quotes\n")
	for _, want := range []string{`bogus web line "\n" from`, `discarding bogus pen line "+ 1.2.3.4 999.9.9.9 x\n" from`, `bogus web line "no quotes\n" from`} {
		if s := <-said; !strings.HasPrefix(s, want) {
			t.Errorf("said %q, want %q", s, want)
		}
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	out, err := openOutput(path, nil, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	out.write([]byte("one\n"), now)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := out.reopen(); err != nil {
		t.Fatal(err)
	}
	out.write([]byte("two\n"), now)
	out.path = filepath.Join(path, "no")
	if err := out.reopen(); err == nil {
		t.Error("a file was opened in a file")
	}
	out.write([]byte("three\n"), now)
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "one\n", path: "two\nthree\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLossIsReportedOnceAMinute(t *testing.T) {
	t.Parallel()
	var said []string
	out, err := openOutput("", broken{}, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	for second := range 100 {
		out.write([]byte("x\n"), func() time.Time { return time.Unix(int64(second), 0) })
	}
	if d := cmp.Diff([]string{"1 lines lost: disk full", "60 lines lost: disk full"}, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
