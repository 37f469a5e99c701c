package control

import (
	"fmt"
	"strings"
	"time"

	"github.com/penlb/pen/internal/settings"
)

// A command is one row of the table.
type command struct {
	name  string
	args  string // what may follow the name, for `help`
	help  string // one line
	files bool   // names a file that we read or write on behalf of the caller

	run func(*call)
	no  func(*call) // `no NAME`; nil: there is no such form

	// save returns the lines that set what s and e hold; nil: nothing to write back.
	save func(e *Env, s *settings.Settings) []string
	// forgotten marks what pen does not write: it follows pen's own lines, and only where it is not the default.
	forgotten bool
}

// commands is the table. Its order is that of `write`.
func commands() []command {
	return []command{
		{name: "acl", args: "N permit|deny ADDRESS [MASK] | ADDRESS/LENGTH | country CC", help: "add to an access list",
			run: aclAdd, no: aclClear, save: aclSave},
		flag("ascii", "dump data as text", func(s *settings.Settings) *bool { return &s.ASCII }),
		seconds("blacklist", "[SECONDS]", "how long a failed server is left alone", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.Rules.Blacklist }, nil),
		number("client_acl", "[N]", "access list for clients", "%d\n",
			func(s *settings.Settings) *int { return &s.ClientACL }, aclNumber),
		number("control_acl", "[N]", "access list for control clients", "%d\n",
			func(s *settings.Settings) *int { return &s.ControlACL }, aclNumber),
		number("debug", "[LEVEL]", "how much to tell", "%d\n",
			func(s *settings.Settings) *int { return &s.Debug }, nil),
		flag("hash", "choose servers by a hash of the client's address",
			func(s *settings.Settings) *bool { return &s.Rules.Hash }),
		flag("http", "add X-Forwarded-For to requests", func(s *settings.Settings) *bool { return &s.HTTP }),
		{name: "log", args: "[FILE | HOST:PORT]", help: "log requests", files: true,
			run: logTo, no: logOff, save: logSave},
		flag("roundrobin", "choose servers in turn, do not remember clients",
			func(s *settings.Settings) *bool { return &s.Rules.RoundRobin }),
		{name: "server", args: "N [acl N | address HOST | port N | max N | hard N | blacklist SECONDS | weight N | prio N]...",
			help: "change or add a server", run: serverSet, save: serverSave},
		flag("stubborn", "no other server when the chosen one fails",
			func(s *settings.Settings) *bool { return &s.Rules.Stubborn }),
		{name: "tcp_fastclose", args: "up|down|both|off", help: "whose end of stream closes both sides",
			run: fastClose, save: fastCloseSave},
		flag("tcp_nodelay", "send small segments at once", func(s *settings.Settings) *bool { return &s.NoDelay }),
		seconds("timeout", "[SECONDS]", "time for a server to accept a connection", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.ConnectTimeout }, nil),
		seconds("tracking", "[SECONDS]", "how long clients are remembered, 0 for ever", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.Tracking }, nil),
		{name: "web_stats", args: "[FILE]", help: "where the status page is written", files: true,
			run: webStats, no: webStatsOff, save: webStatsSave},
		flag("weight", "choose servers by weight", func(s *settings.Settings) *bool { return &s.Rules.Weight }),
		flag("prio", "choose servers by priority", func(s *settings.Settings) *bool { return &s.Rules.Prio }),

		forgotten(flag("abort_on_error", "abort instead of exit on errors",
			func(s *settings.Settings) *bool { return &s.Abort })),
		{name: "clients_max", args: "[N]", help: "size of the client table, never smaller than before",
			run: clientsMax, save: clientsMaxSave, forgotten: true},
		{name: "conn_max", args: "[N]", help: "connections at the same time, never fewer than before",
			run: connMax, save: connMaxSave, forgotten: true},
		forgotten(text("dsr_if", "INTERFACE", "interface for direct server return", false,
			func(s *settings.Settings) *string { return &s.DSRIf })),
		forgotten(flag("dummy", "answer like a web server, without servers",
			func(s *settings.Settings) *bool { return &s.Dummy })),
		{name: "engine", args: "[NAME]", help: "event engine, effective at start; without name: which one runs",
			run: engine, save: engineSave, forgotten: true},
		forgotten(seconds("idle_timeout", "[SECONDS]", "time after which an idle connection is closed, 0 never",
			"Idle timeout: %d seconds\n",
			func(s *settings.Settings) *time.Duration { return &s.IdleTimeout }, atLeast(0))),
		{name: "idlers", args: "[N]", help: "idle connections to keep open towards the servers",
			run: idlers, save: idlersSave, forgotten: true},
		forgotten(flag("keepalive", "TCP keepalive", func(s *settings.Settings) *bool { return &s.Keepalive })),
		forgotten(flag("peek", "accepted for compatibility", func(s *settings.Settings) *bool { return &s.Peek })),
		forgotten(number("pending_max", "N", "connects under way at the same time", "",
			func(s *settings.Settings) *int { return &s.PendingMax }, atLeast(1))),
		{name: "source", args: "ADDRESS", help: "local address of connections to servers, 0.0.0.0 for any",
			run: source, save: sourceSave, forgotten: true},
		forgotten(text("ssl_ciphers", "CIPHERS", "ciphers of TLS", false,
			func(s *settings.Settings) *string { return &s.SSLCiphers })),
		forgotten(seconds("ssl_client_renegotiation_interval", "SECONDS", "least time between renegotiations", "",
			func(s *settings.Settings) *time.Duration { return &s.SSLRenegotiateWait }, nil)),
		forgotten(text("ssl_ocsp_response", "FILE", "OCSP response to staple", true,
			func(s *settings.Settings) *string { return &s.SSLOCSPResponse })),
		{name: "ssl_option", args: "OPTION", help: "option of TLS", run: sslOption, save: sslOptionSave, forgotten: true},
		forgotten(text("ssl_sni_path", "DIRECTORY", "certificates by server name", true,
			func(s *settings.Settings) *string { return &s.SSLSNIPath })),
		forgotten(number("tarpit_acl", "[N]", "access list of addresses to tarpit, -1 off", "tarpit_acl = %d",
			func(s *settings.Settings) *int { return &s.TarpitACL }, tarpitNumber)),
		{name: "threads", args: "N", help: "number of loops, effective at start", run: threads, save: threadsSave,
			forgotten: true},
		forgotten(flag("transparent", "connect to servers from the client's address",
			func(s *settings.Settings) *bool { return &s.Transparent })),

		{name: "close", args: "N", help: "close a connection", run: closeConn},
		{name: "connection", args: "N", help: "show a connection", run: connection},
		{name: "control", help: "show the address of the control socket", run: controlSpec},
		{name: "dsr_ip", args: "ADDRESS", help: "accepted for compatibility", run: silent},
		{name: "epoll", help: "as `engine epoll`", run: nearestEngine},
		{name: "exit", help: "end the program, if -X was given", run: exit},
		{name: "help", args: "[COMMAND]", help: "list the commands", run: help},
		{name: "include", args: "FILE", help: "run the commands of a file", files: true, run: include},
		{name: "kqueue", help: "as `engine kqueue`", run: nearestEngine},
		{name: "listen", args: "[[HOST:]PORT | /PATH]", help: "where to listen", run: listen},
		{name: "mode", help: "show how servers are chosen", run: mode},
		{name: "no", args: "COMMAND", help: "switch off", run: no},
		{name: "pid", help: "show the process number", run: pid},
		{name: "poll", help: "the nearest engine", run: nearestEngine},
		{name: "recent", args: "[SECONDS]", help: "show the clients of the last 300 seconds", run: recent},
		{name: "select", help: "the nearest engine", run: nearestEngine},
		{name: "servers", help: "show the servers", run: servers},
		{name: "socket", args: "FD", help: "show the connection of a descriptor", run: socket},
		{name: "status", help: "write and show the status page", files: true, run: status},
		{name: "write", args: "[FILE]", help: "write the configuration to a file", files: true, run: write},
	}
}

// flag is a command that sets a boolean, and `no NAME` that clears it.
func flag(name, help string, field func(*settings.Settings) *bool) command {
	set := func(v bool) func(*call) {
		return func(c *call) { c.Settings.Update(func(s *settings.Settings) { *field(s) = v }) }
	}
	return command{
		name: name, help: help,
		run: set(true), no: set(false),
		save: func(_ *Env, s *settings.Settings) []string {
			if *field(s) {
				return []string{name}
			}
			return []string{"no " + name}
		},
	}
}

// number is a command that sets an integer, passed through clamp if there is one, and replies its value by reply.
// With an empty reply it is silent, and wants its argument.
func number(name, args, help, reply string, field func(*settings.Settings) *int, clamp func(int) int) command {
	return integer(name, args, help, reply, clamp,
		func(s *settings.Settings) int { return *field(s) },
		func(s *settings.Settings, n int) { *field(s) = n })
}

// seconds is a number that is kept as a duration.
func seconds(name, args, help, reply string, field func(*settings.Settings) *time.Duration, clamp func(int) int) command {
	return integer(name, args, help, reply, clamp,
		func(s *settings.Settings) int { return int(*field(s) / time.Second) },
		func(s *settings.Settings, n int) { *field(s) = time.Duration(n) * time.Second })
}

func integer(name, args, help, reply string, clamp func(int) int,
	get func(*settings.Settings) int, set func(*settings.Settings, int)) command {
	return command{
		name: name, args: args, help: help,
		run: func(c *call) {
			if len(c.args) > 0 {
				n := Atoi(c.args[0])
				if clamp != nil {
					n = clamp(n)
				}
				c.Settings.Update(func(s *settings.Settings) { set(s, n) })
			} else if reply == "" {
				c.ignored("argument missing")
			}
			if reply != "" {
				c.printf(reply, get(c.Settings.Get()))
			}
		},
		save: func(_ *Env, s *settings.Settings) []string { return []string{fmt.Sprint(name, " ", get(s))} },
	}
}

// text is a silent command that sets a string.
func text(name, args, help string, files bool, field func(*settings.Settings) *string) command {
	return command{
		name: name, args: args, help: help, files: files,
		run: func(c *call) {
			if len(c.args) == 0 {
				c.ignored("argument missing")
				return
			}
			c.Settings.Update(func(s *settings.Settings) { *field(s) = c.args[0] })
		},
		save: func(_ *Env, s *settings.Settings) []string { return []string{name + " " + *field(s)} },
	}
}

// forgotten marks a command whose setting pen does not write.
func forgotten(c command) command {
	c.forgotten = true
	return c
}

func atLeast(least int) func(int) int { return func(n int) int { return max(n, least) } }

// help is ours: the table, for people.
func help(c *call) {
	for _, cmd := range c.table {
		if len(c.args) > 0 && cmd.name != c.args[0] {
			continue
		}
		form := strings.TrimSpace(cmd.name + " " + cmd.args)
		if cmd.no != nil {
			form = "[no] " + form
		}
		c.printf("%s\n\t%s\n", form, cmd.help)
	}
}
