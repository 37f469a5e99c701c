package sink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/accesslog"
)

var addr = netip.MustParseAddr("192.0.2.8")

func line(request string) *accesslog.Line {
	return &accesslog.Line{Client: addr, Server: addr, Request: []byte(request)}
}

// want is what a file gets for line(request).
func want(requests ...string) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&b, "192.0.2.8 0 192.0.2.8 %s\n", r)
	}
	return b.String()
}

func newLog(t *testing.T, producers int) *Log {
	t.Helper()
	l := New(producers, t.Logf)
	t.Cleanup(func() { l.Close() })
	return l
}

func openAt(t *testing.T, l *Log, dest string) {
	t.Helper()
	d, err := accesslog.ParseDest(dest)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Open(d, d.Format()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	l := newLog(t, 1)
	p := l.Producer(0)
	p.Add(line("before"))
	openAt(t, l, path)
	p.Add(line("one"))
	p.Add(line("two"))
	if err := l.Off(); err != nil {
		t.Fatal(err)
	}
	p.Add(line("after"))
	check(t, "file", read(t, path), "old\n"+want("one", "two"))
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, 1)
	openAt(t, l, path)
	l.Producer(0).Add(line("first"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Producer(0).Add(line("second"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, "renamed file", read(t, path+".1"), want("first"))
	check(t, "new file", read(t, path), want("second"))
}

// system is a log that takes lines one at a time.
type system struct {
	got    strings.Builder
	fail   error
	closed int
}

func (s *system) Send(line []byte) error {
	if s.fail == nil {
		fmt.Fprintf(&s.got, "%s|", line)
	}
	return s.fail
}

func (s *system) String() string { return "system" }
func (s *system) Close() error   { s.closed++; return nil }

// TestAlso has a second place for lines, beside a file and without one.
func TestAlso(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l, s := newLog(t, 1), &system{}
	p := l.Producer(0)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Also(s))
	p.Add(line("alone"))
	openAt(t, l, path)
	p.Add(line("both"))
	must(l.Reopen())
	p.Add(line("still"))
	must(l.Off())
	p.Add(line("again"))
	if s.closed != 0 {
		t.Error("closed too early")
	}
	must(l.Also(nil))
	p.Add(line("nowhere"))
	if _, on := p.Format(); on {
		t.Error("lines are wanted, and there is no place for them")
	}
	must(l.Also(nil))
	check(t, "file", read(t, path), want("both", "still"))
	check(t, "system", s.got.String(), strings.ReplaceAll(want("alone", "both", "still", "again"), "\n", "|"))
	if s.closed != 1 {
		t.Errorf("closed %d times", s.closed)
	}
}

// TestSetFormat changes the form between two lines.
func TestSetFormat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, 1)
	openAt(t, l, path)
	p := l.Producer(0)
	p.Add(line("one"))
	if err := l.SetFormat(accesslog.JSON); err != nil {
		t.Fatal(err)
	}
	p.Add(line("two"))
	if err := l.SetFormat(accesslog.File); err != nil {
		t.Fatal(err)
	}
	p.Add(line("three"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := strings.SplitAfter(read(t, path), "\n")
	if len(got) != 4 || got[0] != want("one") || !strings.HasPrefix(got[1], `{"time":`) || got[2] != want("three") {
		t.Errorf("%q", got)
	}
	if err := l.SetFormat(accesslog.JSON); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Also(&system{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestNoLineIsLost renames the log while several loops write to it.
func TestNoLineIsLost(t *testing.T) {
	t.Parallel()
	const producers, lines, turns = 4, 500, 5
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, producers)
	openAt(t, l, path)
	var wg sync.WaitGroup
	for i := range producers {
		wg.Go(func() {
			for n := range lines {
				l.Producer(i).Add(line(fmt.Sprintf("%d-%d", i, n)))
			}
		})
	}
	for i := range turns {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for i := range turns {
		all.WriteString(read(t, fmt.Sprintf("%s.%d", path, i)))
	}
	all.WriteString(read(t, path))
	next := map[string]int{}
	for _, s := range strings.Split(strings.TrimSuffix(all.String(), "\n"), "\n") {
		i, n, _ := strings.Cut(strings.Fields(s)[3], "-")
		if n != fmt.Sprint(next[i]) {
			t.Fatalf("producer %s: line %s, want %d", i, n, next[i])
		}
		next[i]++
	}
	for i, n := range next {
		if n != lines {
			t.Errorf("producer %s: %d lines, want %d", i, n, lines)
		}
	}
	if len(next) != producers {
		t.Errorf("lines of %d producers, want %d", len(next), producers)
	}
}

func TestHostGetsLinesAtOnce(t *testing.T) {
	t.Parallel()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := newLog(t, 2)
	openAt(t, l, fmt.Sprintf("localhost:%d", c.LocalAddr().(*net.UDPAddr).Port))
	buf := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i := range 3 {
		l.Producer(i % 2).Add(line(fmt.Sprintf("GET /%d", i)))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "datagram", string(buf[:n]), fmt.Sprintf("+ 192.0.2.8 192.0.2.8 GET /%d\n", i))
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("Reopen of a log host: %v", err)
	}
}

func TestMoveFromFileToHostAndBack(t *testing.T) {
	t.Parallel()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := filepath.Join(t.TempDir(), "log")
	l := newLog(t, 1)
	p := l.Producer(0)
	openAt(t, l, path)
	p.Add(line("one"))
	openAt(t, l, c.LocalAddr().String())
	if f, on := p.Format(); f != accesslog.Datagram || !on {
		t.Errorf("format %d, on %v", f, on)
	}
	p.Add(line("two"))
	if err := l.Open(accesslog.Dest{Path: path}, accesslog.JSON); err != nil {
		t.Fatal(err)
	}
	p.Add(line("three"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, path)
	if !strings.HasPrefix(got, want("one")+`{"time"`) || !strings.HasSuffix(got, `"request":"three"}`+"\n") {
		t.Errorf("file: %q", got)
	}
	buf := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "datagram", string(buf[:n]), "+ 192.0.2.8 192.0.2.8 two\n")
}

func TestErrorKeepsTheOldLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := newLog(t, 1)
	openAt(t, l, path)
	for _, d := range []accesslog.Dest{{Path: filepath.Join(dir, "no", "log")}, {Host: "127.0.0.1", Port: "0"},
		{Host: "127.0.0.1", Port: "no such service"}} {
		if err := l.Open(d, d.Format()); err == nil {
			t.Errorf("Open(%s) succeeded", d)
		}
	}
	l.Producer(0).Add(line("x"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, "file", read(t, path), want("x"))
}

func TestClosed(t *testing.T) {
	t.Parallel()
	l := New(1, t.Logf)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.Producer(0).Add(line("x"))
	for _, err := range []error{l.Off(), l.Reopen(), l.Open(accesslog.Dest{Path: "/dev/null"}, 0)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
	}
}
