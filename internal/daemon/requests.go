package daemon

import (
	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/process"
	"github.com/penlb/pen/internal/settings"
)

// OpenLog implements control.Runtime. Before the daemon serves the log is only named: the user that pen will be opens
// it.
func (d *Daemon) OpenLog(dest string) error {
	switch {
	case !d.serving.Load():
		return nil
	case dest == "":
		return d.access.Off()
	}
	return d.openLog(dest)
}

func (d *Daemon) openLog(dest string) error {
	to, err := accesslog.ParseDest(dest)
	if err == nil {
		s := *d.store.Get()
		s.Log = dest
		err = d.access.Open(to, logFormat(&s))
	}
	if err != nil {
		return pensWords("Can't open logfile "+dest, err)
	}
	return nil
}

// logFormat is the form of the lines that s asks for.
func logFormat(s *settings.Settings) accesslog.Format {
	if s.LogJSON {
		return accesslog.JSON
	}
	to, err := accesslog.ParseDest(s.Log)
	if err != nil { // no file and no host
		return accesslog.File
	}
	return to.Format()
}

// LogSyslog implements control.Runtime. Before the daemon serves it only is noted, too.
func (d *Daemon) LogSyslog(on bool) error {
	switch {
	case !d.serving.Load() || on == d.syslog:
		return nil
	case on:
		return d.openSyslog()
	}
	d.syslog = false
	return d.access.Also(nil)
}

func (d *Daemon) openSyslog() error {
	lines, err := process.OpenLines("pen")
	if err == nil {
		err = d.access.Also(lines)
	}
	d.syslog = err == nil
	return err
}

// refreshLog follows a change of the settings, before the loops do.
func (d *Daemon) refreshLog() {
	if err := d.access.SetFormat(logFormat(d.store.Get())); err != nil {
		d.Logf("access log: %v", err)
	}
}
