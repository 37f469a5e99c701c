package control

import (
	"slices"
	"strconv"
	"time"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/settings"
)

// maxSpin is the longest time to poll: what sleeping costs is a fraction of it.
const maxSpin = 1000 // microseconds

// spinWords are what `spin` takes beside numbers.
func spinWords() []string { return []string{"off", "auto"} }

func checkSpin(k *check) {
	if len(k.line.args) > 0 && !slices.Contains(spinWords(), k.line.args[0]) {
		k.number("off, auto or microseconds:", k.line.args[0], 0, maxSpin)
	}
}

// spin sets how long loops poll before they sleep.
func spin(c *call) {
	if len(c.args) > 0 {
		var d time.Duration
		switch c.args[0] {
		case "off":
			d = settings.SpinOff
		case "auto":
			d = settings.SpinAuto
		default:
			d = time.Duration(min(max(Atoi(c.args[0]), 0), maxSpin)) * time.Microsecond
		}
		c.Settings.Update(func(s *settings.Settings) { s.Spin = d })
	}
	c.showWord("spin", spinWord(c.Settings.Get().Spin))
}

// spinWord is the argument of `spin` that sets d.
func spinWord(d time.Duration) string {
	switch d {
	case settings.SpinOff:
		return "off"
	case settings.SpinAuto:
		return "auto"
	}
	return strconv.Itoa(int(d / time.Microsecond))
}

func spinSave(_ *Env, s *settings.Settings) []string { return []string{"spin " + spinWord(s.Spin)} }

func checkCongestion(k *check) {
	if len(k.line.args) == 0 {
		return
	}
	if err := k.env.tryCongestion(k.line.args[0]); err != nil {
		k.wrong("%v", err)
	}
}

// tryCongestion is nil for what has been set already: a file that root has read must not become a mistake when it is
// read again by the user that came after.
func (e *Env) tryCongestion(name string) error {
	if name == e.Settings.Get().Congestion {
		return nil
	}
	return e.Runtime.TryCongestion(name)
}

// congestion sets the congestion control of connections to servers, if the system has it.
func congestion(c *call) {
	if len(c.args) > 0 {
		name := c.args[0]
		if err := c.tryCongestion(name); err != nil {
			c.ignored("%v", err)
		} else {
			c.Settings.Update(func(s *settings.Settings) { s.Congestion = name })
		}
	}
	c.showWord("congestion", c.Settings.Get().Congestion)
}

func congestionOff(c *call) {
	c.Settings.Update(func(s *settings.Settings) { s.Congestion = "" })
	c.set("congestion", "")
}

func congestionSave(_ *Env, s *settings.Settings) []string { return orNo("congestion", s.Congestion) }

// offOn are the words of a switch, by index.
func offOn() []string { return []string{"off", "on"} }

func index(on bool) int {
	if on {
		return 1
	}
	return 0
}

// logSyslog sends the log to the system's log, or no longer.
func logSyslog(c *call) {
	if len(c.args) > 0 {
		c.setSyslog(c.args[0])
	}
	c.showWord("log_syslog", offOn()[index(c.Settings.Get().LogSyslog)])
}

func (c *call) setSyslog(word string) {
	n := slices.Index(offOn(), word)
	if n < 0 {
		c.ignored("unknown word '%s': want off, on", word)
		return
	}
	if err := c.Runtime.LogSyslog(n == 1); err != nil {
		c.ignored("%v", err)
		return
	}
	c.Settings.Update(func(s *settings.Settings) { s.LogSyslog = n == 1 })
}

func logSyslogSave(_ *Env, s *settings.Settings) []string {
	return []string{"log_syslog " + offOn()[index(s.LogSyslog)]}
}

// geoIP opens a database of countries. The same name again reads the file again.
func geoIP(c *call) {
	if len(c.args) > 0 {
		c.openCountries(c.args[0])
	}
	c.showWord("geoip_db", c.Settings.Get().GeoIPDB)
}

func geoIPOff(c *call) {
	c.openCountries("")
	c.set("geoip_db", c.Settings.Get().GeoIPDB)
}

func (c *call) openCountries(path string) {
	if err := c.Runtime.OpenCountries(path); err != nil {
		c.ignored("%v", err)
		return
	}
	c.Settings.Update(func(s *settings.Settings) { s.GeoIPDB = path })
}

func geoIPSave(_ *Env, s *settings.Settings) []string { return orNo("geoip_db", s.GeoIPDB) }

// ReportCountries tells, once, that access lists name countries and nobody knows where addresses are. Call it when
// everything at start has been read; later commands do so themselves.
func (e *Env) ReportCountries() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reportCountries()
}

func (e *Env) reportCountries() {
	if e.countriesTold || e.Settings.Get().GeoIPDB != "" {
		return
	}
	for n := range acl.Lists {
		for _, entry := range e.ACL.Entries(n) {
			if entry.Country != "" {
				e.countriesTold = true
				e.Logf("access list %d names the country %s, which matches nobody: no geoip_db is set", n, entry.Country)
				return
			}
		}
	}
}
