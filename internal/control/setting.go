package control

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
)

const (
	resolveTimeout = 5 * time.Second // for a host name in a command
	maxThreads     = 1024            // more than any machine has use for
)

// aclNumber is how client_acl and control_acl take a number that is not one of a list.
func aclNumber(n int) int {
	if n < 0 || n >= acl.Lists {
		return 0
	}
	return n
}

// tarpitNumber knows -1, off, as well.
func tarpitNumber(n int) int {
	if n == -1 {
		return -1
	}
	return aclNumber(n)
}

// resolve turns an address or a host name into an address.
func (e *Env) resolve(host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	a, err := e.Runtime.Resolve(ctx, host)
	return a.Unmap(), err
}

func silent(*call) {}

// no runs the `no` form of a command. Without one it is silent, as pen is about anything after no.
func no(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	cmd := c.lookup(c.args[0])
	if cmd == nil || cmd.no == nil {
		c.ignored("nothing known as '%s'", c.args[0])
		return
	}
	c.name += " " + c.args[0]
	c.args = c.args[1:]
	cmd.no(c)
}

func logTo(c *call) {
	if len(c.args) > 0 {
		c.openLog(c.args[0])
	}
	if dest := c.Settings.Get().Log; dest != "" {
		c.printf("%s\n", dest) // pen: only the host of host:port
	}
}

func logOff(c *call) { c.openLog("") }

func (c *call) openLog(dest string) {
	if err := c.Runtime.OpenLog(dest); err != nil {
		c.ignored("%v", err) // pen: exits
		return
	}
	c.Settings.Update(func(s *settings.Settings) { s.Log = dest })
}

func logSave(_ *Env, s *settings.Settings) []string { return orNo("log", s.Log) }

func webStats(c *call) {
	if len(c.args) > 0 {
		c.Settings.Update(func(s *settings.Settings) { s.WebStats = c.args[0] })
	}
	if f := c.Settings.Get().WebStats; f != "" {
		c.printf("%s\n", f)
	}
}

func webStatsOff(c *call) { c.Settings.Update(func(s *settings.Settings) { s.WebStats = "" }) }

func webStatsSave(_ *Env, s *settings.Settings) []string { return orNo("web_stats", s.WebStats) }

// orNo is the line of a setting that is either a word or off.
func orNo(name, value string) []string {
	if value == "" {
		return []string{"no " + name}
	}
	return []string{name + " " + value}
}

func fastClose(c *call) {
	if len(c.args) == 0 {
		c.printf("do_cmd: ignoring tcp_fastclose without argument\n")
		return
	}
	mode := settings.FastCloseOff
	for f := settings.FastCloseOff; f <= settings.FastCloseBoth; f++ {
		if c.args[0] == f.String() {
			mode = f
		}
	}
	c.Settings.Update(func(s *settings.Settings) { s.FastClose = mode })
}

func fastCloseSave(_ *Env, s *settings.Settings) []string {
	return []string{"tcp_fastclose " + s.FastClose.String()}
}

// source sets the local address towards servers. The unspecified address gives the choice back to the kernel.
func source(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing") // pen: crashes
		return
	}
	a, err := c.resolve(c.args[0])
	if err != nil {
		c.printf("unable to set source address to '%s'", c.args[0])
		c.ignored("%v", err)
		return
	}
	if a.IsUnspecified() {
		a = netip.Addr{}
	}
	c.Settings.Update(func(s *settings.Settings) { s.Source = a })
}

func sourceSave(_ *Env, s *settings.Settings) []string {
	if !s.Source.IsValid() {
		return nil
	}
	return []string{"source " + s.Source.String()}
}

func sslOption(c *call) {
	option := c.arg(0)
	if option == "" {
		c.ignored("argument missing")
		return
	}
	c.Settings.Update(func(s *settings.Settings) {
		if !slices.Contains(s.SSLOptions, option) { // a file read again adds nothing
			s.SSLOptions = append(slices.Clip(s.SSLOptions), option)
		}
	})
}

func sslOptionSave(_ *Env, s *settings.Settings) []string {
	var lines []string
	for _, o := range s.SSLOptions {
		lines = append(lines, "ssl_option "+o)
	}
	return lines
}

func idlers(c *call) {
	if len(c.args) > 0 {
		n := max(Atoi(c.args[0]), 0)
		c.Settings.Update(func(s *settings.Settings) { s.Idlers = n })
	}
	c.printf("Idlers: %d/%d\n", c.Runtime.Idlers(), c.Settings.Get().Idlers)
}

func idlersSave(_ *Env, s *settings.Settings) []string {
	return []string{fmt.Sprint("idlers ", s.Idlers)}
}

// clientsMax enlarges the client table. Before the first one says otherwise the default can also shrink.
func clientsMax(c *call) {
	if n := min(Atoi(c.arg(0)), client.Limit); n > 0 {
		shrink := !c.clientsChosen && !c.Runtime.Serving()
		c.clientsChosen = true
		c.Settings.Update(func(s *settings.Settings) {
			if n > s.ClientsMax || shrink {
				s.ClientsMax = n
			}
		})
		if c.Clients != nil {
			c.Clients.Grow(c.Settings.Get().ClientsMax)
		}
	}
	c.printf("%d\n", c.Settings.Get().ClientsMax)
}

func clientsMaxSave(_ *Env, s *settings.Settings) []string {
	return []string{fmt.Sprint("clients_max ", s.ClientsMax)}
}

// connMax raises the limit of connections, and makes it one that holds.
func connMax(c *call) {
	if n := Atoi(c.arg(0)); n > 0 {
		c.Settings.Update(func(s *settings.Settings) {
			if n > s.ConnMax || !s.ConnMaxHard && !c.Runtime.Serving() {
				s.ConnMax = n
			}
			s.ConnMaxHard = true
		})
	}
	c.printf("%d\n", c.Settings.Get().ConnMax)
}

func connMaxSave(_ *Env, s *settings.Settings) []string {
	if !s.ConnMaxHard {
		return nil
	}
	return []string{fmt.Sprint("conn_max ", s.ConnMax)}
}

func engine(c *call) {
	if len(c.args) == 0 {
		c.printf("%s", c.Runtime.Engine())
		return
	}
	name := c.args[0]
	if !slices.Contains([]string{"uring", "epoll", "kqueue", "portable", "best"}, name) {
		c.ignored("no engine is called '%s'", name)
		return
	}
	c.setEngine(strings.TrimPrefix(name, "best"))
}

func nearestEngine(c *call) { c.setEngine(engineFor(c.name, runtime.GOOS)) }

// engineFor understands pen's event methods: the engine for readiness that the system has, else the best.
func engineFor(method, goos string) string {
	switch goos {
	case "linux":
		if method != "kqueue" {
			return "epoll"
		}
	case "darwin", "dragonfly", "freebsd", "netbsd", "openbsd":
		return "kqueue"
	}
	return ""
}

// setEngine asks for an engine by name, the best one if name is empty.
func (c *call) setEngine(name string) {
	if name != c.Settings.Get().Engine && c.atStart() {
		c.Settings.Update(func(s *settings.Settings) { s.Engine = name })
	}
}

// atStart reports whether the loops do not run yet, and says that it is too late if they do.
func (c *call) atStart() bool {
	if c.Runtime.Serving() {
		c.ignored("effective only at start")
		return false
	}
	return true
}

// engineSave leaves out what the command line asked for: how the process is built is its business, and the file may
// be meant for another one.
func engineSave(e *Env, s *settings.Settings) []string {
	if s.Engine == e.Given.Engine {
		return nil
	}
	return []string{"engine " + s.Engine}
}

func threads(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	n := min(max(Atoi(c.args[0]), 0), maxThreads)
	if n != c.Settings.Get().Threads && c.atStart() {
		c.Settings.Update(func(s *settings.Settings) { s.Threads = n })
	}
}

func threadsSave(e *Env, s *settings.Settings) []string {
	if s.Threads == e.Given.Threads {
		return nil
	}
	return []string{fmt.Sprint("threads ", s.Threads)}
}
