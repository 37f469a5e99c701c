//go:build !windows

package process

import (
	"fmt"
	"net"
	"os"
	"time"
)

const facilityUser = 1 << 3 // LOG_USER of RFC 3164, as pen

// syslogPaths are where the system's log listens: Linux and Solaris, macOS, BSD.
var syslogPaths = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// syslog speaks RFC 3164 to the local log, in the form that syslog(3) uses. Messages that it does not take are lost;
// a message never blocks. It is used by one goroutine at a
// time.
type syslog struct {
	name  string
	pid   int
	paths []string
	conn  net.Conn
	tried time.Time
}

// openSystemLog connects at once, since the paths are out of reach later in a jail.
func openSystemLog(name string) systemLog {
	s := &syslog{name: name, pid: os.Getpid(), paths: syslogPaths}
	s.dial()
	return s
}

func (s *syslog) dial() {
	s.tried = time.Now()
	for _, p := range s.paths {
		if c, err := net.Dial("unixgram", p); err == nil {
			s.conn = c
			return
		}
	}
}

func (s *syslog) open() bool { return s.conn != nil }

func (s *syslog) send(level Level, msg string) error {
	if s.conn == nil && time.Since(s.tried) >= time.Second {
		s.dial()
	}
	if s.conn == nil {
		return ErrNoSystemLog
	}
	now := time.Now()
	s.conn.SetWriteDeadline(now.Add(10 * time.Millisecond))
	_, err := fmt.Fprintf(s.conn, "<%d>%s %s[%d]: %s", facilityUser|int(level), now.Format(time.Stamp), s.name, s.pid, msg)
	if err != nil {
		s.close() // the log was restarted, or is stuck
	}
	return err
}

func (s *syslog) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
