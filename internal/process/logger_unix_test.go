//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := NewLogger("test", &out)
	l.Print(Notice, "%d servers", 3)
	l.Raw([]byte("raw"))
	l.Fail(errors.Join(errors.New("one"), errors.New("two")))
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: 3 servers\nrawtest: one\ntest: two\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("%q", out.String())
	}

	path := filepath.Join(shortDir(t), "log")
	log := listenLog(t, path)
	s := &syslog{name: "test", pid: 42, paths: []string{"/no/such/log", path}}
	l.use(s)
	out.Reset()
	l.Print(Debug, "%d servers", 4)
	l.Raw([]byte("raw"))
	l.Fail(errors.New("three"))
	l.Close()
	l.Print(Notice, "too early to connect again")
	s.tried = time.Time{}
	l.Print(Notice, "again")
	l.Close()
	for _, want := range []struct {
		severity Level
		text     string
	}{{Debug, "4 servers"}, {Error, "three"}, {Notice, "again"}} {
		form := fmt.Sprintf(`^<%d>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d test\[42\]: %s$`, 8+want.severity, want.text)
		if got := receive(t, log); !regexp.MustCompile(form).MatchString(got) {
			t.Errorf("%q does not match %s", got, form)
		}
	}
	if out.Len() > 0 {
		t.Errorf("in the background, on stderr: %q", out.String())
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "log")
	s := &syslog{name: "test", pid: 42, paths: []string{path}}
	l := Lines{s}
	if err := l.Send([]byte("x")); !errors.Is(err, ErrNoSystemLog) {
		t.Errorf("nobody listens: %v", err)
	}
	log := listenLog(t, path)
	s.tried = time.Time{}
	if err := l.Send([]byte("GET / HTTP/1.0")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, log); !strings.HasPrefix(got, "<14>") || !strings.HasSuffix(got, " test[42]: GET / HTTP/1.0") {
		t.Errorf("%q", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestSyslogNeverBlocks: a log that does not read takes what its buffer holds.
func TestSyslogNeverBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "log")
	listenLog(t, path)
	s := &syslog{name: "test", paths: []string{path}}
	s.dial()
	for i := 0; s.conn != nil; i++ {
		if i == 100_000 {
			t.Fatal("the buffer has no end")
		}
		_ = s.send(Notice, "x")
	}
	_ = s.send(Notice, "x") // not even tried, for a second
	if s.conn != nil {
		t.Error("connected to a log that is stuck")
	}
}

func TestWritePID(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	if err := WritePID(file); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != fmt.Sprint(os.Getpid()) {
		t.Errorf("%q, %v", got, err)
	}
	if WritePID(filepath.Join(file, "pid")) == nil {
		t.Error("no error")
	}
}
