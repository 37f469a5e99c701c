package sink

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a target that can be slow or fail.
type fake struct {
	mu   sync.Mutex
	got  strings.Builder
	fail error

	gate chan struct{} // if not nil, each write takes a token
	now  bool
}

func (f *fake) write(lines []byte) (int, error) {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return strings.Count(string(lines), "\n"), f.fail
	}
	f.got.Write(lines)
	return 0, nil
}

func (f *fake) prompt() bool   { return f.now }
func (f *fake) String() string { return "fake" }
func (f *fake) close() error   { return nil }

func (f *fake) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.String()
}

func (f *fake) setError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// withFake runs test with a log on f, on a clock of its own; reports counts what is reported, with the time.
func withFake(t *testing.T, f *fake, test func(l *Log, reports func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		l := New(2, func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		})
		defer l.Close()
		if err := l.do(func() error { return l.change(outputs{main: f}) }); err != nil {
			t.Fatal(err)
		}
		test(l, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return said
		})
	})
}

func TestFileLinesWaitForCompany(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(l *Log, _ func() []string) {
		l.Producer(0).Add(line("one"))
		time.Sleep(gather * 2 / 3)
		l.Producer(1).Add(line("two"))
		synctest.Wait()
		check(t, "too early", f.text(), "")
		time.Sleep(gather/3 + time.Millisecond)
		synctest.Wait()
		check(t, "in time", f.text(), want("one", "two"))
	})
}

func TestHalfAFullBufferDoesNotWait(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(l *Log, _ func() []string) {
		for range bufferBytes/2/len(want("x")) + 1 {
			l.Producer(0).Add(line("x"))
		}
		synctest.Wait()
		if f.text() == "" {
			t.Error("nothing written")
		}
	})
}

func TestPromptTargetDoesNotWait(t *testing.T) {
	f := &fake{now: true}
	withFake(t, f, func(l *Log, _ func() []string) {
		l.Producer(0).Add(line("one"))
		synctest.Wait()
		check(t, "written", f.text(), want("one"))
	})
}

// TestSlowTarget checks that Add comes back while the writer hangs, and that the lines without room are counted.
func TestSlowTarget(t *testing.T) {
	f := &fake{}
	withFake(t, f, func(l *Log, reports func() []string) {
		f.gate = make(chan struct{}) // inside, for the sake of its clock
		p := l.Producer(0)
		p.Add(line("first"))
		time.Sleep(2 * gather) // the writer hangs now
		const lines = 2 * bufferBytes / 25
		for range lines {
			p.Add(line("x"))
		}
		close(f.gate)
		time.Sleep(time.Second)
		synctest.Wait()
		written := strings.Count(f.text(), " x\n")
		if written == 0 || written == lines {
			t.Errorf("%d of %d lines written", written, lines)
		}
		if got, want := reports(), fmt.Sprintf("log fake: %d lines lost: it is too slow", lines-written); len(got) != 1 ||
			got[0] != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	})
}

func TestLossIsReportedOnceAMinute(t *testing.T) {
	f := &fake{now: true, fail: errors.New("disk full")}
	withFake(t, f, func(l *Log, reports func() []string) {
		add := func(n int) {
			for range n {
				l.Producer(0).Add(line("x"))
				time.Sleep(time.Second)
			}
		}
		add(1)
		if got := reports(); len(got) != 1 || got[0] != "log fake: 1 lines lost: disk full" {
			t.Fatalf("at once: %q", got)
		}
		add(50)
		if got := reports(); len(got) != 1 {
			t.Fatalf("within the minute: %q", got)
		}
		time.Sleep(10 * time.Second)
		if got := reports(); len(got) != 2 || got[1] != "log fake: 50 lines lost: disk full" {
			t.Fatalf("after the minute: %q", got)
		}
		f.setError(nil)
		add(100)
		if got := reports(); len(got) != 2 {
			t.Fatalf("without loss: %q", got)
		}
		if !strings.HasPrefix(f.text(), want("x")) {
			t.Error("nothing written after the disk has room again")
		}
	})
}

func TestAddDoesNotAllocate(t *testing.T) {
	f := &fake{gate: make(chan struct{})} // so that the writer does nothing
	l := New(1, t.Logf)
	if err := l.do(func() error { return l.change(outputs{main: f}) }); err != nil {
		t.Fatal(err)
	}
	a := line("GET / HTTP/1.0")
	if n := testing.AllocsPerRun(100, func() { l.Producer(0).Add(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	close(f.gate)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
