package control

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
)

const maxThreads = 1024 // more than any machine has use for

// listNumber is the number of an access list; any other becomes 0, as in pen.
func listNumber() limits { return limits{0, acl.Lists - 1, aclNumber} }

// listOrNone knows -1, off, as well.
func listOrNone() limits {
	return limits{-1, acl.Lists - 1, func(n int) int {
		if n == -1 {
			return -1
		}
		return aclNumber(n)
	}}
}

func aclNumber(n int) int {
	if n < 0 || n >= acl.Lists {
		return 0
	}
	return n
}

func silent(*call) {}

// no is the run of `no` in front of a word that cannot be switched off. It is silent, as pen is.
func no(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	c.ignored("nothing known as '%s'", c.args[0])
}

func logTo(c *call) {
	if len(c.args) > 0 {
		c.openLog(c.args[0])
	}
	c.showWord("log", c.Settings.Get().Log) // pen: only the host of host:port
}

// showWord replies a word, and nothing to people if it is empty.
func (c *call) showWord(name, word string) {
	c.set(name, word)
	if word != "" {
		c.printf("%s\n", word)
	}
}

// logFile is the file that `log` touches: none for a log host.
func logFile(_ *Env, args []string) string {
	d, _ := accesslog.ParseDest(strings.Join(args[:min(1, len(args))], ""))
	return d.Path
}

func logOff(c *call) {
	c.openLog("")
	c.set("log", c.Settings.Get().Log)
}

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
	c.showWord("web_stats", c.Settings.Get().WebStats)
}

func webStatsOff(c *call) {
	c.Settings.Update(func(s *settings.Settings) { s.WebStats = "" })
	c.set("web_stats", "")
}

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
		c.declined("argument missing")
		return
	}
	mode := settings.FastCloseOff
	for f := settings.FastCloseOff; f <= settings.FastCloseBoth; f++ {
		if c.args[0] == f.String() {
			mode = f
		}
	}
	c.Settings.Update(func(s *settings.Settings) { s.FastClose = mode })
	c.set("tcp_fastclose", mode.String())
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
	c.set("source", c.args[0])
}

func sourceSave(_ *Env, s *settings.Settings) []string {
	if !s.Source.IsValid() {
		return []string{"source 0.0.0.0"}
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
	c.set("ssl_options", c.Settings.Get().SSLOptions)
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
	open, want := c.Runtime.Idlers(), c.Settings.Get().Idlers
	c.set("idlers_open", open)
	c.set("idlers", want)
	c.printf("Idlers: %d/%d\n", open, want)
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
	c.show("clients_max", c.Settings.Get().ClientsMax, "%d\n")
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
	c.show("conn_max", c.Settings.Get().ConnMax, "%d\n")
}

func connMaxSave(_ *Env, s *settings.Settings) []string {
	if !s.ConnMaxHard {
		return nil
	}
	return []string{fmt.Sprint("conn_max ", s.ConnMax)}
}

// engines are what `engine` takes. Which of them can run here shows when one is opened.
func engines() []string { return []string{"uring", "epoll", "kqueue", "portable", "best"} }

func engine(c *call) {
	if len(c.args) == 0 {
		showEngine(c)
		return
	}
	name := c.args[0]
	if !slices.Contains(engines(), name) {
		c.ignored("no engine is called '%s'", name)
		if !c.Runtime.Serving() { // who asks for an engine does not want to find out later that another one runs
			c.err = fmt.Errorf("%s: no engine is called '%s': want one of %s", c.from, name, strings.Join(engines(), ", "))
		}
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
	switch s.Engine {
	case e.Given.Engine:
		return nil
	case "":
		return []string{"engine best"}
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
	c.set("threads", c.Settings.Get().Threads)
}

func threadsSave(e *Env, s *settings.Settings) []string {
	if s.Threads == e.Given.Threads {
		return nil
	}
	return []string{fmt.Sprint("threads ", s.Threads)}
}
