package daemon

import (
	"bytes"
	"errors"
	"math"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/stats"
)

// Snapshot implements control.Runtime.
func (d *Daemon) Snapshot() *stats.Snapshot {
	d.Sync()
	st := d.store.Get()
	s := &stats.Snapshot{Time: time.Now(), ClientsMax: st.ClientsMax, ConnMax: st.ConnMax, Direct: d.DSR()}
	for i := range d.servers.Len() {
		c := d.servers.Config(i)
		addr, port := control.Where(&c)
		up, down := d.servers.Traffic(i)
		conns := d.servers.Conns(i)
		if s.Direct != nil { // there are no connections
			conns = int(s.Direct.PacketsTo(i))
		}
		s.Servers = append(s.Servers, stats.Server{
			Index: i, Addr: addr, StatusUnix: d.servers.FailedAt(i) / int64(time.Second), Port: int(port),
			Conn: conns, Max: c.Max, Hard: c.Hard, Sent: up, Received: down, Weight: c.Weight, Prio: c.Prio,
		})
	}
	if !d.serving.Load() {
		return s
	}
	now := d.Now()
	for e := range d.clients.Recent(now, math.MaxInt64, st.Tracking) {
		c := stats.Client{Index: e.Index, Age: time.Duration(now - e.LastUse), LastServer: pensServer(e.Server),
			Connects: e.Connects, Sent: e.Sent, Received: e.Received}
		if e.Addr.IsValid() {
			c.Addr = e.Addr.String()
		}
		s.Clients = append(s.Clients, c)
	}
	s.Current, s.ConnUsed = d.flows().Current(), d.flows().Conns()
	for _, c := range d.flows().All() {
		s.ConnLast = max(s.ConnLast, c.Number)
		s.Conns = append(s.Conns, stats.Conn{Index: c.Number, DownFD: c.DownFD, UpFD: c.UpFD, PendingDown: c.PendingDown,
			PendingUp: c.PendingUp, Client: c.Client, Server: pensServer(c.Server)})
	}
	return s
}

// Status implements control.Runtime. The page is replaced at once, so that nobody reads half of one.
func (d *Daemon) Status(file string) ([]byte, error) {
	var b bytes.Buffer
	if err := d.Snapshot().WriteHTML(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), control.ReplaceFile(file, b.Bytes())
}

// reload answers HUP: the log is opened anew, and the configuration read again on top of the present state. A file with
// mistakes changes nothing.
func (d *Daemon) reload() {
	if err := d.access.Reopen(); err != nil {
		d.Logf("reopen the log: %v", err)
	}
	d.reloadTLS()
	d.reloadCountries()
	f := d.opts.ConfigFile
	if f == "" {
		return
	}
	var wrong control.Problems
	switch err := d.ctl.RunFile(f); {
	case errors.As(err, &wrong):
		for _, p := range wrong {
			d.Logf("%v", p)
		}
		d.Logf("%s: nothing of it is in effect: %d to mend", f, len(wrong))
	case err != nil:
		d.Logf("Can't read config file '%s': %v", f, err)
	}
}

// Idlers implements control.Runtime.
func (d *Daemon) Idlers() int {
	if !d.serving.Load() {
		return 0
	}
	return d.flows().Idlers()
}

// pensServer is the number that pen shows for a server: those beside the table have numbers of their own.
func pensServer(i int) int {
	switch i {
	case balance.Emergency:
		return -1
	case balance.Abuse:
		return -2
	case balance.None:
		return -3
	}
	return i
}
