package control

import (
	"net/netip"
	"os"
	"time"
)

const recentDefault = 300 * time.Second // of `recent` without argument

// yesNo is name, or "no " before it.
func yesNo(on bool, name string) string {
	if on {
		return name
	}
	return "no " + name
}

func mode(c *call) {
	r := &c.Settings.Get().Rules
	c.printf("%s %s %s %s %s\n", yesNo(r.Hash, "hash"), yesNo(r.RoundRobin, "roundrobin"),
		yesNo(r.Stubborn, "stubborn"), yesNo(r.Weight, "weight"), yesNo(r.Prio, "prio"))
}

func pid(c *call) { c.printf("%d\n", os.Getpid()) }

func connection(c *call) {
	n := Atoi(c.arg(0))
	c.Runtime.Sync()
	i, ok := c.Runtime.Connection(n)
	if !ok {
		c.printf("Connection %d out of range\n", n)
		return
	}
	c.printf("Connection %d:\nstate = %d\ndownfd = %d, upfd = %d\nclient = %d, server = %d\npend = %d\n",
		n, i.State, i.DownFD, i.UpFD, i.Client, i.Server, i.Pending)
}

func closeConn(c *call) {
	n := Atoi(c.arg(0))
	if !c.Runtime.CloseConnection(n) {
		c.printf("Connection %d out of range\n", n)
		return
	}
	c.printf("Forcibly closing connection %d\n", n)
}

func socket(c *call) {
	fd := Atoi(c.arg(0))
	c.printf("Socket %d belongs to connection %d\n", fd, c.Runtime.SocketOwner(fd))
}

// clientName is a client's address as pen shows it; Unix clients have none.
func clientName(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func recent(c *call) {
	within := recentDefault
	if len(c.args) > 0 {
		within = time.Duration(Atoi(c.args[0])) * time.Second
	}
	if c.Clients == nil {
		return
	}
	c.Runtime.Sync()
	for r := range c.Clients.Recent(c.Runtime.Now(), within, c.Settings.Get().Tracking) {
		c.printf("%s connects %d sx %d rx %d\n", clientName(r.Addr), r.Connects, r.Sent, r.Received)
	}
}

func status(c *call) {
	if c.Settings.Get().WebStats == "" {
		c.printf("Unable to create webstats\n")
		c.ignored("no file to write it to; see web_stats")
		return
	}
	c.Runtime.Sync()
	page, err := c.Runtime.Status()
	if err != nil {
		c.printf("Unable to create webstats\n")
		c.ignored("%v", err)
		return
	}
	c.reply.Write(page)
}

func controlSpec(c *call) { c.printf("%s\n", c.Runtime.ControlSpec()) }

func listen(c *call) {
	if len(c.args) > 0 {
		if err := c.Runtime.Listen(c.args[0]); err != nil {
			c.ignored("%v", err) // pen: exits
		}
	}
	c.printf("%s\n", c.Runtime.ListenSpec())
}

func exit(c *call) {
	if !c.Settings.Get().ExitEnabled {
		c.printf("Exit is not enabled; restart with -X flag\n")
		return
	}
	c.Runtime.Exit()
}

func include(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	if err := c.runFile(c.args[0], c.Stdout); err != nil {
		c.ignored("Can't read config file '%s': %v", c.args[0], err)
	}
}
