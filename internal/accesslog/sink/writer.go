package sink

import (
	"errors"
	"time"
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
	case !l.out.any():
	case l.out.prompt():
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

// change delivers what there is and makes next what becomes of later lines. The error is one of closing what is no
// longer used.
func (l *Log) change(next outputs) error {
	for _, p := range l.producers {
		l.deliver(p.set(next.format, next.any()))
	}
	old := l.out
	l.out = next
	var errs [2]error
	if old.main != nil && old.main != next.main {
		errs[0] = old.main.close()
	}
	if old.also != nil && old.also != next.also {
		errs[1] = old.also.close()
	}
	return errors.Join(errs[:]...)
}

// deliver writes lines, and takes note of those lost for want of room.
func (l *Log) deliver(lines []byte, lost int) {
	for _, to := range l.out.targets() {
		n, err := 0, error(nil)
		if len(lines) > 0 {
			n, err = to.write(lines)
		}
		if n += lost; n > 0 {
			l.loss.add(to.String(), n, err)
		}
		lost = 0 // reported with the first
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
