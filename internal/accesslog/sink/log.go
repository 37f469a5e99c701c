package sink

import (
	"errors"
	"sync"
	"time"

	"github.com/penlb/pen/internal/accesslog"
)

// ErrClosed is the error of a Log that has been closed.
var ErrClosed = errors.New("access log closed")

// Log is the access log: its producers, and the goroutine that writes. Its methods may be called from any goroutine
// and wait for the writer, which may wait for the disk, and Open for the resolver: do not call them on a loop.
type Log struct {
	// constant after New
	logf      func(format string, args ...any)
	producers []*Producer
	some      chan struct{} // token: a buffer is no longer empty
	much      chan struct{} // token: a buffer is half full
	requests  chan func()   // run by the writer
	done      chan struct{} // closed when the writer has ended

	mu     sync.Mutex // held by all methods but Producer
	dest   accesslog.Dest
	closed bool

	// writer only
	out      outputs
	flush    *time.Timer
	flushing bool // flush runs
	loss     loss
}

// New is a log that is off, with a number of producers. Lost lines are reported to logf, from another goroutine.
// Close it.
func New(producers int, logf func(format string, args ...any)) *Log {
	l := &Log{
		logf:     logf,
		some:     make(chan struct{}, 1),
		much:     make(chan struct{}, 1),
		requests: make(chan func()),
		done:     make(chan struct{}),
		flush:    stopped(),
		loss:     loss{timer: stopped()},
	}
	for range producers {
		l.producers = append(l.producers, &Producer{log: l})
	}
	go l.run()
	return l
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// Producer is the producer of loop i.
func (l *Log) Producer(i int) *Producer { return l.producers[i] }

// Open sends lines to d from now on, in format f. Lines from before still go where they were meant to. On error the
// log goes on as it was.
func (l *Log) Open(d accesslog.Dest, f accesslog.Format) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	to, err := open(d)
	if err != nil {
		return err
	}
	l.dest = d
	return l.do(func() error { return l.change(outputs{to, l.out.also, f}) })
}

// SetFormat gives the lines from now on format f.
func (l *Log) SetFormat(f accesslog.Format) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.do(func() error {
		if l.out.format == f {
			return nil
		}
		return l.change(outputs{l.out.main, l.out.also, f})
	})
}

// Also sends all lines to s as well, or only to s while there is nothing else; nil ends that. The log closes s. The
// error is one of closing an earlier one.
func (l *Log) Also(s Lines) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.also(s)
}

func (l *Log) also(s Lines) error {
	var to target
	if s != nil {
		to = lines{s}
	}
	return l.do(func() error { return l.change(outputs{l.out.main, to, l.out.format}) })
}

// Off writes what there is and ends what Open has begun. The error is one of closing the file: what was written may be lost.
func (l *Log) Off() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.off()
}

func (l *Log) off() error {
	l.dest = accesslog.Dest{}
	return l.do(func() error { return l.change(outputs{nil, l.out.also, l.out.format}) })
}

// Reopen closes a log file that was renamed and opens it anew; every line goes to one or the other. On error the old
// file stays in use. It does nothing for a log host, or while the log is off.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if !l.dest.IsFile() {
		return nil
	}
	// All of it is done by the writer: nothing can go to the old file once the new one is there to be seen.
	return l.do(func() error {
		l.write()
		to, err := open(l.dest)
		if err != nil {
			return err
		}
		old := l.out.main
		l.out.main = to
		return old.close()
	})
}

// Close writes what there is and ends the writer. Lines of later Adds are ignored. Closing twice is harmless.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	err := errors.Join(l.off(), l.also(nil))
	close(l.requests)
	<-l.done
	return err
}

// do runs f in the writer and waits for it.
func (l *Log) do(f func() error) error {
	result := make(chan error, 1)
	l.requests <- func() { result <- f() }
	return <-result
}
