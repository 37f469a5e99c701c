package daemon

import (
	"fmt"
	"net"
	"time"
)

// syslogLevel is a severity of RFC 3164.
type syslogLevel int

const (
	syslogErr    syslogLevel = 3
	syslogNotice syslogLevel = 5
	syslogDebug  syslogLevel = 7

	facilityUser = 1 << 3 // LOG_USER, as pen
)

// syslogPaths are where the system's log listens: Linux and Solaris, macOS, BSD.
var syslogPaths = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// syslog speaks RFC 3164 to the local log, in the form that syslog(3) uses. Messages that it does not take are lost;
// a message never blocks.
type syslog struct {
	ident string
	pid   int
	conn  net.Conn
	tried time.Time
}

// newSyslog connects at once, since the path is out of reach later in a jail.
func newSyslog(ident string, pid int) *syslog {
	s := &syslog{ident: ident, pid: pid}
	s.dial()
	return s
}

func (s *syslog) dial() {
	s.tried = time.Now()
	for _, p := range syslogPaths {
		if c, err := net.Dial("unixgram", p); err == nil {
			s.conn = c
			return
		}
	}
}

func (s *syslog) send(level syslogLevel, msg string) {
	if s.conn == nil {
		if time.Since(s.tried) < time.Second {
			return
		}
		if s.dial(); s.conn == nil {
			return
		}
	}
	now := time.Now()
	s.conn.SetWriteDeadline(now.Add(10 * time.Millisecond))
	_, err := fmt.Fprintf(s.conn, "<%d>%s %s[%d]: %s", facilityUser|int(level), now.Format(time.Stamp), s.ident, s.pid, msg)
	if err != nil {
		s.close() // the log was restarted, or is stuck
	}
}

func (s *syslog) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}
