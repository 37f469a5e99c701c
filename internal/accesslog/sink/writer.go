package sink

import (
	"time"

	"github.com/penlb/pen/internal/accesslog"
)

const (
	gather      = 500 * time.Millisecond // how long lines for a file wait for company
	reportEvery = time.Minute            // between reports of lost lines
)

// run is the writer.
func (l *Log) run() {
	defer close(l.done)
	for {
		select {
		case <-l.some:
			l.something()
		case <-l.much:
			l.write()
		case <-l.flush.C:
			l.flushing = false
			l.write()
		case <-l.loss.timer.C:
			l.loss.report(l.logf)
		case f, ok := <-l.requests:
			if !ok {
				l.loss.report(l.logf)
				return
			}
			f()
		}
	}
}

// something has come into an empty buffer.
func (l *Log) something() {
	switch {
	case l.to == nil:
	case l.to.prompt():
		l.write()
	case !l.flushing:
		l.flushing = true
		l.flush.Reset(gather)
	}
}

// write empties all buffers.
func (l *Log) write() {
	for _, p := range l.producers {
		l.deliver(p.take())
	}
}

// change delivers what there is and makes to the target, nil for none, of lines in format f.
func (l *Log) change(to target, f accesslog.Format) error {
	for _, p := range l.producers {
		l.deliver(p.set(f, to != nil))
	}
	old := l.to
	l.to = to
	if old == nil {
		return nil
	}
	return old.close()
}

func (l *Log) deliver(lines []byte, lost int) {
	var err error
	if len(lines) > 0 {
		var n int
		n, err = l.to.write(lines)
		lost += n
	}
	if lost > 0 {
		l.loss.add(l.to.String(), lost, err)
	}
}

// loss is what has not been reported.
type loss struct {
	lines    int
	dest     string
	err      error       // the last one; nil: there was no room
	timer    *time.Timer // runs while there are lines to report
	reported time.Time   // the last time
}

func (s *loss) add(dest string, lines int, err error) {
	if s.lines == 0 {
		s.timer.Reset(max(0, reportEvery-time.Since(s.reported)))
	}
	s.lines += lines
	s.dest = dest
	if err != nil {
		s.err = err
	}
}

func (s *loss) report(logf func(format string, args ...any)) {
	if s.lines == 0 {
		return
	}
	if s.err != nil {
		logf("log %s: %d lines lost: %v", s.dest, s.lines, s.err)
	} else {
		logf("log %s: %d lines lost: it is too slow", s.dest, s.lines)
	}
	s.lines, s.err, s.reported = 0, nil, time.Now()
}
