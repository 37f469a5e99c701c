package proc

import (
	"context"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStopEndsTheProgram(t *testing.T) {
	tests := []struct {
		name  string
		argv  []string
		stdin bool
	}{
		{"by SIGTERM", []string{"sleep", "60"}, false},
		{"by the end of its input", []string{"cat"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, err := Start(context.Background(), tt.argv, nil, tt.stdin)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			p.Stop()
			if d := time.Since(start); d >= grace {
				t.Errorf("needed %v", d)
			}
			if err := syscall.Kill(p.PID(), 0); err != syscall.ESRCH {
				t.Errorf("still there: %v", err)
			}
		})
	}
}

// A stubborn program dies after the grace, and its children with it.
func TestStopEndsStubbornFamilies(t *testing.T) {
	out, childOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, _, err := Start(context.Background(), []string{"sh", "-c", `trap "" TERM; sleep 60 & echo up; wait; wait`}, childOut, false)
	childOut.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	// The pipe ends when the last holder of its other end is gone.
	if err := out.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil {
		t.Errorf("a child survived: %v %q", err, rest)
	}
}

func TestErrTellsTheLastWords(t *testing.T) {
	p, _, err := Start(context.Background(), []string{"sh", "-c", "echo cannot bind >&2; exit 3"}, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Err().Error(); !strings.Contains(got, "cannot bind") || !strings.Contains(got, "3") {
		t.Errorf("error %q", got)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var l tail
	for range 1000 {
		if n, err := l.Write([]byte("0123456789\n")); n != 11 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := l.Write([]byte("last\n")); err != nil {
		t.Fatal(err)
	}
	if len(l.b) > tailBytes || l.last() != "0123456789; 0123456789; last" {
		t.Errorf("%d bytes, %q", len(l.b), l.last())
	}
}
