package sink

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/penlb/pen/internal/accesslog"
)

// writeTimeout ends a write to a pipe that nobody reads, so that the log can still be closed. Files have none.
const writeTimeout = time.Second

// target is where lines go. It is used by one goroutine.
type target interface {
	// write writes whole lines and returns how many of them were lost, and why.
	write(lines []byte) (lost int, err error)
	// prompt reports whether lines must not wait for more of them.
	prompt() bool
	// String is the name for reports.
	String() string
	close() error
}

// outputs is where lines go, and in which form.
type outputs struct {
	main   target // the file or log host; nil: none
	also   target // nil: none
	format accesslog.Format
}

func (o *outputs) targets() []target {
	var ts []target
	for _, t := range []target{o.main, o.also} {
		if t != nil {
			ts = append(ts, t)
		}
	}
	return ts
}

// any reports whether there is a log.
func (o *outputs) any() bool { return o.main != nil || o.also != nil }

func (o *outputs) prompt() bool { return o.main != nil && o.main.prompt() }

func open(d accesslog.Dest) (target, error) {
	if d.IsFile() {
		return openFile(d.Path)
	}
	return dial(d)
}

// Lines takes lines one at a time, such as the log of the system. It is used by one goroutine.
type Lines interface {
	// Send takes a line without its newline. It must not wait for longer than a moment.
	Send(line []byte) error
	// String is the name for reports.
	String() string
	Close() error
}

// lines is the target of Lines.
type lines struct{ Lines }

func (t lines) write(text []byte) (lost int, err error) {
	for line := range bytes.Lines(text) {
		if e := t.Send(bytes.TrimSuffix(line, []byte("\n"))); e != nil {
			lost, err = lost+1, e
		}
	}
	return lost, err
}

func (lines) prompt() bool   { return false }
func (t lines) close() error { return t.Close() }

// file is a log file.
type file struct {
	f    *os.File
	torn bool // the last line has no end
}

func openFile(path string) (*file, error) {
	// Non-blocking, so that a named pipe without reader is an error and not a halt.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, err
	}
	return &file{f: f}, nil
}

func (t *file) write(lines []byte) (lost int, err error) {
	t.f.SetWriteDeadline(time.Now().Add(writeTimeout)) // an error means that there are no deadlines: a plain file
	if t.torn {
		if _, err := t.f.Write([]byte("\n")); err != nil {
			return bytes.Count(lines, []byte("\n")), err
		}
		t.torn = false
	}
	n, err := t.f.Write(lines)
	if err != nil {
		t.torn = n > 0 && lines[n-1] != '\n'
	}
	return bytes.Count(lines[n:], []byte("\n")), err
}

func (*file) prompt() bool     { return false }
func (t *file) String() string { return t.f.Name() }
func (t *file) close() error   { return t.f.Close() }

// host is a log host. The socket is connected, so that we hear of a host that refuses.
type host struct{ c *net.UDPConn }

func dial(d accesslog.Dest) (*host, error) {
	// ResolveUDPAddr prefers IPv4 as pen, which knows nothing else, does.
	a, err := net.ResolveUDPAddr("udp", net.JoinHostPort(d.Host, d.Port))
	if err != nil {
		return nil, fmt.Errorf("log host %s: %w", d, err)
	}
	if a.Port == 0 {
		return nil, fmt.Errorf("log host %s: %w", d, errPort)
	}
	c, err := net.DialUDP("udp", nil, a)
	if err != nil {
		return nil, fmt.Errorf("log host %s: %w", d, err)
	}
	return &host{c}, nil
}

var errPort = errors.New("port 0")

func (t *host) write(lines []byte) (lost int, err error) {
	t.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	for line := range bytes.Lines(lines) {
		_, e := t.c.Write(line)
		if errors.Is(e, syscall.ECONNREFUSED) {
			// The answer to an earlier line, which is lost; this one has not been sent.
			lost, err = lost+1, e
			_, e = t.c.Write(line)
		}
		if e != nil {
			lost, err = lost+1, e
		}
	}
	return lost, err
}

func (*host) prompt() bool     { return true }
func (t *host) String() string { return t.c.RemoteAddr().String() }
func (t *host) close() error   { return t.c.Close() }
