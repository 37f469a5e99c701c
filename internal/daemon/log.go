package daemon

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// logger writes what pen has to say: with the time to stderr in the foreground, to the system's log in the background.
type logger struct {
	mu  sync.Mutex
	out io.Writer
	sys *syslog // nil in the foreground
}

func newLogger(w io.Writer) *logger { return &logger{out: w} }

// print writes one message. It may come from a loop: both destinations take a line at once or lose it.
func (l *logger) print(level syslogLevel, format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sys != nil {
		l.sys.send(level, msg)
		return
	}
	fmt.Fprintf(l.out, "%s: %s\n", time.Now().Format(time.DateTime), msg)
}

// raw writes text as it is, to stderr; in the background there is none.
func (l *logger) raw(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sys == nil {
		l.out.Write(text)
	}
}

// background turns to the system's log.
func (l *logger) background() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sys = newSyslog("pen", os.Getpid())
}

func (l *logger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sys != nil {
		l.sys.close()
	}
}

// Logf tells the operator something.
func (d *Daemon) Logf(format string, args ...any) { d.log.print(syslogNotice, format, args...) }

// Debugf tells what -d, given level times, asks for.
func (d *Daemon) Debugf(level int, format string, args ...any) {
	if d.store.Get().Debug >= level {
		d.log.print(syslogDebug, format, args...)
	}
}
