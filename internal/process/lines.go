package process

import "errors"

// ErrNoSystemLog says that the log of the system does not listen, or not where we can reach it.
var ErrNoSystemLog = errors.New("the log of the system cannot be reached")

// Lines sends lines that are no messages of the program, such as those of an access log, to the log of the system. It
// is used by one goroutine at a time.
type Lines struct{ log systemLog }

// OpenLines connects to the log of the system, for the program called name. To be called before a jail puts the log
// out of reach; then it stays connected for as long as the log is not restarted. The error is ErrNoSystemLog.
func OpenLines(name string) (*Lines, error) {
	l := openSystemLog(name)
	if l == nil || !l.open() {
		return nil, ErrNoSystemLog
	}
	return &Lines{l}, nil
}

// Send sends a line, at level Info. It never waits for longer than a moment.
func (l *Lines) Send(line []byte) error { return l.log.send(Info, string(line)) }

func (*Lines) String() string { return "of the system" }

// Close lets go of the log.
func (l *Lines) Close() error {
	l.log.close()
	return nil
}
