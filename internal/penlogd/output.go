package penlogd

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const reportEvery = time.Minute // between complaints about a log that cannot be written

// output is the merged log. Its methods may be called from any goroutine.
type output struct {
	path string                           // constant; empty: stdout
	logf func(format string, args ...any) // constant

	mu       sync.Mutex
	w        io.Writer
	f        *os.File // nil: stdout
	lost     int      // lines since the last complaint
	reported time.Time
}

// openOutput opens the file at path for appending; without path the log goes to stdout.
func openOutput(path string, stdout io.Writer, logf func(format string, args ...any)) (*output, error) {
	o := &output{path: path, logf: logf, w: stdout}
	return o, o.reopen()
}

// reopen closes a file that was renamed and opens it anew. On error the old one stays in use.
func (o *output) reopen() error {
	if o.path == "" {
		return nil
	}
	f, err := os.OpenFile(o.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("log file %s: %w", o.path, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.f != nil {
		err = o.f.Close()
	}
	o.w, o.f = f, f
	return err
}

// write writes one line. A line that cannot be written is lost, which is reported at most once a minute: now is the
// time.
func (o *output) write(line []byte, now func() time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.w.Write(line)
	if err == nil {
		return
	}
	o.lost++
	if t := now(); t.Sub(o.reported) >= reportEvery {
		o.logf("%d lines lost: %v", o.lost, err)
		o.lost, o.reported = 0, t
	}
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.f == nil {
		return nil
	}
	return o.f.Close()
}
