package control

import (
	"time"

	"github.com/penlb/pen/internal/settings"
)

// Counter is one line of what `udp` shows.
type Counter struct {
	Name  string
	Value uint64
}

// udp is ours: what became of datagrams and sessions.
func udp(c *call) {
	for _, n := range c.Runtime.UDP() {
		c.set(n.Name, n.Value)
		c.printf("%s %d\n", n.Name, n.Value)
	}
}

// onOff is a flag that may also be written out, as `NAME on` or `NAME off`.
func onOff(name, help string, field func(*settings.Settings) *bool) command {
	c := flag(name, help, field)
	on, off := c.run, c.no
	c.args = "[on|off]"
	c.check = func(k *check) {
		if len(k.line.args) > 0 && k.line.args[0] != "on" && k.line.args[0] != "off" {
			k.wrong("%s is neither on nor off", k.line.args[0])
		}
	}
	c.run = func(c *call) {
		if c.arg(0) == "off" {
			off(c)
		} else {
			on(c)
		}
	}
	return c
}

// milliseconds is a number that is kept as a duration, from 0.
func milliseconds(name, args, help string, field func(*settings.Settings) *time.Duration) command {
	return integer(name, name+"_milliseconds", args, help, "%d\n", atLeast(0),
		func(s *settings.Settings) int { return int(*field(s) / time.Millisecond) },
		func(s *settings.Settings, n int) { *field(s) = time.Duration(n) * time.Millisecond })
}
