//go:build unix

package penlogd

import (
	"io"
	"log/syslog"
)

func systemLog() (io.Writer, error) { return syslog.New(syslog.LOG_USER|syslog.LOG_NOTICE, "penlogd") }
