package daemon

import (
	"time"

	"github.com/penlb/pen/internal/control"
)

var _ control.Runtime = (*Daemon)(nil)

// Serving implements control.Runtime.
func (d *Daemon) Serving() bool { return d.serving.Load() }

// Sync implements control.Runtime.
func (d *Daemon) Sync() {
	if d.serving.Load() {
		d.flows().Sync()
		if d.direct != nil {
			d.direct.sync()
		}
	}
}

// Now implements control.Runtime: nanoseconds since 1970 on a clock that does not step.
func (d *Daemon) Now() int64 { return d.began.UnixNano() + int64(time.Since(d.began)) }

// Connection implements control.Runtime.
func (d *Daemon) Connection(n int) (control.ConnInfo, bool) {
	none := control.ConnInfo{DownFD: -1, UpFD: -1} // client and server 0, as pen's slots that were never used
	if n < 0 || n >= d.connRange() {
		return none, false
	}
	if !d.serving.Load() {
		return none, true
	}
	c, ok := d.flows().Conn(n)
	if !ok {
		return none, true
	}
	return control.ConnInfo{State: c.State, DownFD: c.DownFD, UpFD: c.UpFD, Client: c.Client, Server: pensServer(c.Server),
		Pending: c.PendingDown + c.PendingUp}, true
}

// CloseConnection implements control.Runtime.
func (d *Daemon) CloseConnection(n int) bool {
	if n < 0 || n >= d.connRange() {
		return false
	}
	if d.serving.Load() {
		d.flows().CloseConn(n)
	}
	return true
}

// SocketOwner implements control.Runtime.
func (d *Daemon) SocketOwner(fd int) int {
	if !d.serving.Load() || fd < 0 {
		return -1
	}
	for _, c := range d.flows().All() {
		if c.DownFD == fd || c.UpFD == fd {
			return c.Number
		}
	}
	return -1
}

// Exit implements control.Runtime.
func (d *Daemon) Exit() { d.stopOnce.Do(func() { close(d.stop) }) }

// Engine implements control.Runtime.
func (d *Daemon) Engine() control.EngineInfo {
	if d.direct != nil {
		return d.direct.info()
	}
	var e control.EngineInfo
	if len(d.loops) > 0 {
		e.Name, e.Threads, e.Features = d.loops[0].Engine(), len(d.loops), d.loops[0].Features()
	}
	if d.serving.Load() {
		e.Open, e.Used = d.proxy.Pipes()
	}
	asked := d.store.Get().Engine
	for _, a := range d.ladder {
		switch {
		case a.Name == e.Name:
			return e
		case !a.OK:
			e.Passed = append(e.Passed, control.EnginePassed{Name: a.Name, Reason: a.Reason})
		case asked != "":
			e.Passed = append(e.Passed, control.EnginePassed{Name: a.Name, Reason: "engine " + asked + " was asked for"})
		}
	}
	return e
}

// CommandLine implements control.Runtime.
func (d *Daemon) CommandLine() control.CommandLine { return d.opts.CommandLine }
