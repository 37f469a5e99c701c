package process

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Level says how much a message matters: a severity of RFC 3164.
type Level int

// The levels in use.
const (
	Error  Level = 3
	Notice Level = 5
	Info   Level = 6
	Debug  Level = 7
)

// systemLog is where messages go when there is no terminal.
type systemLog interface {
	// open reports whether there is somebody to take messages.
	open() bool
	// send takes a message at once, or loses it and says why.
	send(level Level, msg string) error
	close()
}

// Logger writes what a program has to say: with the time to stderr in the foreground, to the system's log in the
// background and as a service. Its methods may be called from any goroutine, also from a loop: stderr and syslog take
// a line at once or lose it.
type Logger struct {
	name string // constant: the program

	mu     sync.Mutex
	out    io.Writer
	system systemLog // nil in the foreground
}

// NewLogger makes a logger for the program called name, whose stderr is w.
func NewLogger(name string, w io.Writer) *Logger { return &Logger{name: name, out: w} }

// Print writes one message.
func (l *Logger) Print(level Level, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.system != nil {
		_ = l.system.send(level, msg) // there is nobody left to tell
		return
	}
	fmt.Fprintf(l.out, "%s: %s\n", time.Now().Format(time.DateTime), msg)
}

// Fail says why the program ends, each line behind the program's name instead of the time.
func (l *Logger) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if l.system != nil {
			_ = l.system.send(Error, line)
			continue
		}
		fmt.Fprintf(l.out, "%s: %s\n", l.name, line)
	}
}

// Raw writes text as it is, to stderr; in the background there is none.
func (l *Logger) Raw(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.system == nil {
		l.out.Write(text)
	}
}

// use turns to the system's log.
func (l *Logger) use(s systemLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.system = s
}

// Close lets go of the system's log. Messages that come later connect to it anew, if it can be reached.
func (l *Logger) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.system != nil {
		l.system.close()
	}
}
