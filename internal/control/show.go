package control

import (
	"net/netip"
	"os"
	"strings"
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
	for name, on := range map[string]bool{"hash": r.Hash, "roundrobin": r.RoundRobin, "stubborn": r.Stubborn,
		"weight": r.Weight, "prio": r.Prio} {
		c.set(name, on)
	}
	c.printf("%s %s %s %s %s\n", yesNo(r.Hash, "hash"), yesNo(r.RoundRobin, "roundrobin"),
		yesNo(r.Stubborn, "stubborn"), yesNo(r.Weight, "weight"), yesNo(r.Prio, "prio"))
}

func pid(c *call) { c.show("pid", os.Getpid(), "%d\n") }

func connection(c *call) {
	n := Atoi(c.arg(0))
	c.Runtime.Sync()
	i, ok := c.Runtime.Connection(n)
	if !ok {
		c.outOfRange(n)
		return
	}
	c.set("connection", n)
	c.set("state", i.State)
	c.set("down_fd", i.DownFD)
	c.set("up_fd", i.UpFD)
	c.set("client", i.Client)
	c.set("server", i.Server)
	c.set("pending_bytes", i.Pending)
	c.printf("Connection %d:\nstate = %d\ndownfd = %d, upfd = %d\nclient = %d, server = %d\npend = %d\n",
		n, i.State, i.DownFD, i.UpFD, i.Client, i.Server, i.Pending)
}

func closeConn(c *call) {
	n := Atoi(c.arg(0))
	if !c.Runtime.CloseConnection(n) {
		c.outOfRange(n)
		return
	}
	c.show("connection", n, "Forcibly closing connection %d\n")
}

func (c *call) outOfRange(n int) {
	c.declined("connection %d out of range", n)
	c.printf("Connection %d out of range\n", n)
}

func socket(c *call) {
	fd := Atoi(c.arg(0))
	n := c.Runtime.SocketOwner(fd)
	c.set("fd", fd)
	c.set("connection", n)
	c.printf("Socket %d belongs to connection %d\n", fd, n)
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
	now, clients := c.Runtime.Now(), []jsonClient{}
	for r := range c.Clients.Recent(now, within, c.Settings.Get().Tracking) {
		name := clientName(r.Addr)
		c.printf("%s connects %d sx %d rx %d\n", name, r.Connects, r.Sent, r.Received)
		idle := time.Duration(now - r.LastUse)
		clients = append(clients, jsonClient{name, int64(idle / time.Second), r.Server, r.Connects, r.Sent, r.Received})
	}
	c.set("clients", clients)
}

// status writes the page and replies it. For machines it needs no file, and writes none.
func status(c *call) {
	if c.json {
		c.setSnapshot(c.Runtime.Snapshot())
		return
	}
	file := c.Settings.Get().WebStats
	if file == "" {
		c.printf("Unable to create webstats\n")
		c.ignored("no file to write it to; see web_stats")
		return
	}
	page, err := c.Runtime.Status(file)
	if err != nil {
		c.printf("Unable to create webstats\n")
		c.ignored("%v", err)
		return
	}
	c.reply.Write(page)
}

func controlSpec(c *call) { c.show("control", c.Runtime.ControlSpec(), "%s\n") }

// showEngine tells which engine runs, with what, and why none before it in the ladder does.
func showEngine(c *call) {
	e := c.Runtime.Engine()
	if e.Name != "" {
		c.printf("engine %s\nthreads %d\n", e.Name, e.Threads)
	}
	if len(e.Features) > 0 {
		c.printf("features %s\n", strings.Join(e.Features, " "))
	}
	if e.Name != "" {
		c.printf("spin %s\npipes %d open, %d in use\n", spinWord(c.Settings.Get().Spin), e.Open, e.Used)
	}
	passed := []jsonEngine{}
	for _, p := range e.Passed {
		c.printf("not %s: %s\n", p.Name, p.Reason)
		passed = append(passed, jsonEngine(p))
	}
	c.set("engine", e.Name)
	c.set("threads", e.Threads)
	c.set("spin", spinWord(c.Settings.Get().Spin))
	c.set("pipes_open", e.Open)
	c.set("pipes_used", e.Used)
	c.set("features", append([]string{}, e.Features...))
	c.set("passed_over", passed)
}

func exit(c *call) {
	if !c.Settings.Get().ExitEnabled {
		c.declined("not enabled; restart with -X flag")
		c.printf("Exit is not enabled; restart with -X flag\n")
		return
	}
	c.Runtime.Exit()
}

// help is ours: the table, for people.
func help(c *call) {
	shown := []jsonCommand{}
	for _, cmd := range c.table {
		if len(c.args) > 0 && cmd.name != c.args[0] {
			continue
		}
		form := strings.TrimSpace(cmd.name + " " + cmd.args)
		if cmd.no != nil {
			form = "[no] " + form
		}
		c.printf("%s\n\t%s\n", form, cmd.help)
		shown = append(shown, jsonCommand{form, cmd.help})
	}
	if len(shown) == 0 {
		c.declined("no command is called '%s'", c.args[0])
		c.printf("no command is called '%s'\n", c.args[0])
	}
	c.set("commands", shown)
}
