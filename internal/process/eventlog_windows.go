package process

import "golang.org/x/sys/windows/svc/eventlog"

// eventID is the one number of our messages. Those that eventlog.InstallAsEventCreate describes begin with 1.
const eventID = 1

// events is the event log of Windows.
type events struct{ log *eventlog.Log }

// openSystemLog is nil if the event log cannot be opened.
func openSystemLog(name string) systemLog {
	l, err := eventlog.Open(name)
	if err != nil {
		return nil
	}
	return events{l}
}

func (events) open() bool { return true }

func (e events) send(level Level, msg string) error {
	if level <= Error {
		return e.log.Error(eventID, msg)
	}
	return e.log.Info(eventID, msg)
}

func (e events) close() { _ = e.log.Close() }
