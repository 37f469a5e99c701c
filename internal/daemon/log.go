package daemon

import "github.com/penlb/pen/internal/process"

// Logf tells the operator something.
func (d *Daemon) Logf(format string, args ...any) { d.log.Print(process.Notice, format, args...) }

// Debugf tells what -d, given level times, asks for.
func (d *Daemon) Debugf(level int, format string, args ...any) {
	if d.store.Get().Debug >= level {
		d.log.Print(process.Debug, format, args...)
	}
}
