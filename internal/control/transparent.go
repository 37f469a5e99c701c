package control

import "github.com/penlb/pen/internal/settings"

// transparent lets servers see the addresses of clients, if the system lets us.
func transparent(c *call) {
	strict := c.arg(0) == "strict"
	if c.Runtime.Serving() { // before, the daemon looks once everything is read
		if err := c.Runtime.TryTransparent(); err != nil {
			c.ignored("%v", err)
			return
		}
	}
	c.Settings.Update(func(s *settings.Settings) { s.Transparent, s.TransparentStrict = true, strict })
	c.set("transparent", true)
}

func transparentOff(c *call) {
	c.Settings.Update(func(s *settings.Settings) { s.Transparent, s.TransparentStrict = false, false })
	c.set("transparent", false)
}

func transparentSave(_ *Env, s *settings.Settings) []string {
	switch {
	case s.TransparentStrict:
		return []string{"transparent strict"}
	case s.Transparent:
		return []string{"transparent"}
	}
	return []string{"no transparent"}
}

// transparentStats is ours: how many servers have seen the address of their client.
func transparentStats(c *call) {
	for _, n := range c.Runtime.Transparent() {
		c.set(n.Name, n.Value)
		c.printf("%s %d\n", n.Name, n.Value)
	}
}

func tproxyRules(c *call) { c.RulesOnly = true }

func tproxySetup(c *call) {
	if word := c.arg(0); word != "on" && word != "off" {
		c.ignored("want on or off")
	} else if on := word == "on"; on != c.Settings.Get().TransparentSetup && c.atStart() {
		c.Settings.Update(func(s *settings.Settings) { s.TransparentSetup = on })
	}
	c.set("tproxy_setup", c.Settings.Get().TransparentSetup)
}

func tproxySetupSave(_ *Env, s *settings.Settings) []string {
	if s.TransparentSetup {
		return []string{"tproxy_setup on"}
	}
	return []string{"tproxy_setup off"}
}
