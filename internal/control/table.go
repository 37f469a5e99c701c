package control

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/header"
	"github.com/penlb/pen/internal/settings"
)

// A command is one row of the table.
type command struct {
	name string
	args string // what may follow the name, for `help`
	help string // one line

	operator bool // only the command line may say it
	lists    bool // changes access lists, on which the other commands of a file rely
	shows    bool // replies its value without argument; so it answers who may not change it

	// touches is the file that is read or written on behalf of the caller, empty if none; nil: never any.
	touches func(e *Env, args []string) string
	// check is what a file must get right; nil: nothing can be wrong.
	check, checkNo func(*check)

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
			lists: true, check: checkACL, checkNo: wantedNumber(0, acl.Lists-1), run: aclAdd, no: aclClear, save: aclSave},
		flag("ascii", "dump data as text", func(s *settings.Settings) *bool { return &s.ASCII }),
		seconds("blacklist", "[SECONDS]", "how long a failed server is left alone", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.Rules.Blacklist }, anyNumber()),
		number("client_acl", "[N]", "access list for clients", "%d\n",
			func(s *settings.Settings) *int { return &s.ClientACL }, listNumber()),
		number("control_acl", "[N]", "access list for control clients", "%d\n",
			func(s *settings.Settings) *int { return &s.ControlACL }, listNumber()),
		number("debug", "[LEVEL]", "how much to tell", "%d\n",
			func(s *settings.Settings) *int { return &s.Debug }, anyNumber()),
		flag("hash", "choose servers by a hash of the client's address",
			func(s *settings.Settings) *bool { return &s.Rules.Hash }),
		flag("http", "add X-Forwarded-For to requests", func(s *settings.Settings) *bool { return &s.HTTP }),
		{name: "log", args: "[FILE | HOST:PORT]", help: "log requests",
			shows: true, touches: logFile, check: checkLog, run: logTo, no: logOff, save: logSave},
		flag("roundrobin", "choose servers in turn, do not remember clients",
			func(s *settings.Settings) *bool { return &s.Rules.RoundRobin }),
		{name: "server", args: "N [acl N | address HOST | port N | max N | hard N | blacklist SECONDS | weight N | prio N |" +
			" tls FILE|system|off | sni NAME | tunnel ipip|off]...",
			help: "change or add a server", touches: authoritiesFile, check: checkServer, run: serverSet, save: serverSave},
		flag("stubborn", "no other server when the chosen one fails",
			func(s *settings.Settings) *bool { return &s.Rules.Stubborn }),
		{name: "tcp_fastclose", args: "up|down|both|off", help: "whose end of stream closes both sides",
			check: oneOf("up", "down", "both", "off"), run: fastClose, save: fastCloseSave},
		flag("tcp_nodelay", "send small segments at once", func(s *settings.Settings) *bool { return &s.NoDelay }),
		seconds("timeout", "[SECONDS]", "time for a server to accept a connection", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.ConnectTimeout }, anyNumber()),
		seconds("tracking", "[SECONDS]", "how long clients are remembered, 0 for ever", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.Tracking }, anyNumber()),
		{name: "web_stats", args: "[FILE]", help: "where the status page is written",
			shows: true, touches: firstArg, run: webStats, no: webStatsOff, save: webStatsSave},
		flag("weight", "choose servers by weight", func(s *settings.Settings) *bool { return &s.Rules.Weight }),
		flag("prio", "choose servers by priority", func(s *settings.Settings) *bool { return &s.Rules.Prio }),

		forgotten(flag("abort_on_error", "abort instead of exit on errors",
			func(s *settings.Settings) *bool { return &s.Abort })),
		{name: "clients_max", args: "[N]", help: "size of the client table, never smaller than before",
			check: optionalNumber(minNumber, maxNumber), run: clientsMax, save: clientsMaxSave, forgotten: true},
		{name: "congestion", args: "[NAME]", help: "congestion control of connections to servers", check: checkCongestion,
			run: congestion, no: congestionOff, save: congestionSave, forgotten: true},
		{name: "conn_max", args: "[N]", help: "connections at the same time, never fewer than before",
			check: optionalNumber(minNumber, maxNumber), run: connMax, save: connMaxSave, forgotten: true},
		{name: "dsr_announce", args: "on|off", help: "tell the link at start whose the virtual addresses are now",
			check: oneOf("on", "off"), run: dsrAnnounce, save: dsrAnnounceSave, forgotten: true},
		{name: "dsr_if", args: "INTERFACE", help: "interface for direct server return, effective at start", check: wantedWord,
			run: dsrIf, save: dsrIfSave, forgotten: true},
		{name: "dsr_mode", args: strings.Join(dsrModes, "|"), help: "who forwards packets: the kernel or pen, effective at start",
			check: oneOf(dsrModes...), run: dsrMode, save: dsrModeSave, forgotten: true},
		{name: "dsr_pin", args: "DIRECTORY", help: "where forwarding in the kernel outlives pen, effective at start",
			check: wantedWord, run: dsrPin, save: dsrPinSave, forgotten: true},
		{name: "dsr_source", args: "NETWORK", help: "addresses that packets to servers with a tunnel come from",
			check: checkNetwork, run: dsrSource, no: dsrSourceOff, save: dsrSourceSave, forgotten: true},
		{name: "dsr_vip", args: "ADDRESS[:PORT][/tcp|/udp]", help: "a further virtual address, or a port of one",
			check: wantedWord, run: dsrVIP, no: dsrVIPOff, save: dsrVIPSave, forgotten: true},
		forgotten(flag("dummy", "answer like a web server, without servers",
			func(s *settings.Settings) *bool { return &s.Dummy })),
		{name: "engine", args: "[NAME]", help: "event engine, effective at start; without name: which one runs",
			check: optionalWord(engines()...), run: engine, save: engineSave, forgotten: true},
		forgotten(choice("forwarded", "what becomes of forwarded headers that clients send", header.Modes(),
			func(s *settings.Settings) int { return int(s.Forwarded) },
			func(s *settings.Settings, n int) { s.Forwarded = header.Mode(n) })),
		{name: "geoip_db", args: "[FILE]", help: "database of countries, for access lists",
			shows: true, touches: firstArg, run: geoIP, no: geoIPOff, save: geoIPSave, forgotten: true},
		forgotten(seconds("idle_timeout", "[SECONDS]", "time after which an idle connection is closed, 0 never",
			"Idle timeout: %d seconds\n",
			func(s *settings.Settings) *time.Duration { return &s.IdleTimeout }, atLeast(0))),
		{name: "idlers", args: "[N]", help: "idle connections to keep open towards the servers",
			check: optionalNumber(minNumber, maxNumber), run: idlers, save: idlersSave, forgotten: true},
		forgotten(flag("keepalive", "TCP keepalive", func(s *settings.Settings) *bool { return &s.Keepalive })),
		forgotten(choice("log_format", "lines for each piece from a client, or for each connection", []string{"pen", "json"},
			func(s *settings.Settings) int { return index(s.LogJSON) },
			func(s *settings.Settings, n int) { s.LogJSON = n == 1 })),
		{name: "log_syslog", args: "[off|on]", help: "log requests to the system's log as well", check: optionalWord(offOn()...),
			run: logSyslog, save: logSyslogSave, forgotten: true},
		forgotten(flag("peek", "accepted for compatibility", func(s *settings.Settings) *bool { return &s.Peek })),
		forgotten(number("pending_max", "N", "connects under way at the same time", "",
			func(s *settings.Settings) *int { return &s.PendingMax }, atLeast(1))),
		{name: "source", args: "ADDRESS", help: "local address of connections to servers, 0.0.0.0 for any",
			check: checkSource, run: source, save: sourceSave, forgotten: true},
		{name: "spin", args: "[off|auto|MICROSECONDS]", help: "how long a loop polls before it sleeps", check: checkSpin,
			run: spin, save: spinSave, forgotten: true},
		forgotten(text("ssl_ciphers", "CIPHERS", "ciphers of TLS", false,
			func(s *settings.Settings) *string { return &s.SSLCiphers })),
		forgotten(text("alpn", "PROTOCOL[,PROTOCOL...]", "protocols that TLS offers, such as h2,http/1.1", false,
			func(s *settings.Settings) *string { return &s.ALPN })),
		forgotten(onOff("sni_strict", "refuse TLS clients that ask for a name without certificate",
			func(s *settings.Settings) *bool { return &s.SNIStrict })),
		forgotten(seconds("ssl_client_renegotiation_interval", "SECONDS", "least time between renegotiations", "",
			func(s *settings.Settings) *time.Duration { return &s.SSLRenegotiateWait }, anyNumber())),
		forgotten(text("ssl_ocsp_response", "FILE", "OCSP response to staple", true,
			func(s *settings.Settings) *string { return &s.SSLOCSPResponse })),
		{name: "ssl_option", args: "OPTION", help: "option of TLS", check: wantedWord, run: sslOption, save: sslOptionSave,
			forgotten: true},
		forgotten(text("ssl_sni_path", "DIRECTORY", "certificates by server name", true,
			func(s *settings.Settings) *string { return &s.SSLSNIPath })),
		forgotten(number("tarpit_acl", "[N]", "access list of addresses to tarpit, -1 off", "tarpit_acl = %d",
			func(s *settings.Settings) *int { return &s.TarpitACL }, listOrNone())),
		{name: "threads", args: "N", help: "number of loops, effective at start", check: wantedNumber(minNumber, maxNumber),
			run: threads, save: threadsSave, forgotten: true},
		forgotten(text("ticket_keys", "FILE", "keys of TLS session tickets, to share among pens", true,
			func(s *settings.Settings) *string { return &s.TicketKeys })),
		tlsMin(),
		{name: "tproxy_setup", args: "on|off", help: "tell the kernel what transparent needs, until the end; effective at start",
			check: oneOf("on", "off"), run: tproxySetup, save: tproxySetupSave, forgotten: true},
		{name: "transparent", args: "[strict]", help: "connect to servers from the client's address; strict: or not at all",
			check: optionalWord("strict"), run: transparent, no: transparentOff, save: transparentSave, forgotten: true},

		forgotten(onOff("udp_connected", "a connected socket towards the server for each UDP session",
			func(s *settings.Settings) *bool { return &s.UDPConnected })),
		forgotten(onOff("udp_nosession", "forward UDP without waiting for answers",
			func(s *settings.Settings) *bool { return &s.UDPNoSession })),
		forgotten(milliseconds("udp_reply_timeout", "[MILLISECONDS]", "silence after which a UDP server counts as dead, 0 never",
			func(s *settings.Settings) *time.Duration { return &s.UDPReplyTimeout })),
		forgotten(number("udp_responses", "[N]", "answers to each datagram after which a UDP session ends, 0 any number", "%d\n",
			func(s *settings.Settings) *int { return &s.UDPResponses }, atLeast(0))),
		forgotten(number("udp_sessions_max", "[N]", "UDP sessions at the same time, 0 for as many as there are sockets for", "%d\n",
			func(s *settings.Settings) *int { return &s.UDPSessionsMax }, atLeast(0))),
		forgotten(seconds("udp_timeout", "[SECONDS]", "time after which an idle UDP session ends, 0 when room is needed", "%d\n",
			func(s *settings.Settings) *time.Duration { return &s.UDPTimeout }, atLeast(0))),

		{name: "check", help: "with -O: read everything, say what is wrong, and end", operator: true, run: checkOnly},
		{name: "close", args: "N", help: "close a connection", check: optionalNumber(minNumber, maxNumber), run: closeConn},
		{name: "connection", args: "N", help: "show a connection", check: optionalNumber(minNumber, maxNumber),
			run: connection},
		{name: "control", help: "show the address of the control socket", run: controlSpec},
		{name: "control_dir", args: "DIRECTORY", help: "with -O: where TCP control clients may have files", operator: true,
			check: wantedWord, run: controlDir},
		{name: "control_mode", args: "MODE [GROUP]", help: "with -O: permissions of a Unix control socket, in octal",
			operator: true, check: checkControlMode, run: controlMode},
		{name: "dsr_ip", args: "ADDRESS", help: "accepted for compatibility", run: silent},
		{name: "dsr_stats", help: "show servers, traffic and drops of direct server return", run: dsrStats},
		{name: "epoll", help: "as `engine epoll`", run: nearestEngine},
		{name: "exit", help: "end the program, if -X was given", run: exit},
		{name: "help", args: "[COMMAND]", help: "list the commands", run: help},
		{name: "include", args: "FILE", help: "run the commands of a file", touches: firstArg, check: wantedWord, run: include},
		{name: "json", args: "COMMAND", help: "answer a command in JSON", run: silent},
		{name: "kqueue", help: "as `engine kqueue`", run: nearestEngine},
		{name: "listen", args: "[[HOST:]PORT | /PATH]", help: "where to listen", shows: true, touches: listenPath,
			check: checkListen, run: listen},
		{name: "mode", help: "show how servers are chosen", run: mode},
		{name: "no", args: "COMMAND", help: "switch off", check: checkNoArgument, run: no},
		{name: "pid", help: "show the process number", run: pid},
		{name: "poll", help: "the nearest engine", run: nearestEngine},
		{name: "recent", args: "[SECONDS]", help: "show the clients of the last 300 seconds", check: optionalNumber(minNumber, maxNumber),
			run: recent},
		{name: "select", help: "the nearest engine", run: nearestEngine},
		{name: "servers", help: "show the servers", run: servers},
		{name: "socket", args: "FD", help: "show the connection of a descriptor", check: optionalNumber(minNumber, maxNumber), run: socket},
		{name: "status", help: "write and show the status page", run: status},
		{name: "tproxy_rules", help: "with -O: read everything, print what transparent needs of the kernel, and end",
			operator: true, run: tproxyRules},
		{name: "transparent_stats", help: "show how many servers have seen the address of their client", run: transparentStats},
		{name: "udp", help: "show the counters of UDP", run: udp},
		{name: "write", args: "[FILE]", help: "write the configuration to a file", touches: writtenFile, run: write},
	}
}

// flag is a command that sets a boolean, and `no NAME` that clears it.
func flag(name, help string, field func(*settings.Settings) *bool) command {
	set := func(v bool) func(*call) {
		return func(c *call) {
			c.Settings.Update(func(s *settings.Settings) { *field(s) = v })
			c.set(name, v)
		}
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

// limits are what a number may be: in a file anything else is a mistake, elsewhere it is clamped, or taken as it is if
// clamp is nil.
type limits struct {
	least, most int
	clamp       func(int) int
}

// anyNumber is what 32 bits hold.
func anyNumber() limits { return limits{least: minNumber, most: maxNumber} }

// atLeast raises a number that is too small.
func atLeast(least int) limits {
	return limits{minNumber, maxNumber, func(n int) int { return max(n, least) }}
}

// number is a command that sets an integer and replies its value by reply. With an empty reply it is silent, and
// wants its argument.
func number(name, args, help, reply string, field func(*settings.Settings) *int, l limits) command {
	return integer(name, name, args, help, reply, l,
		func(s *settings.Settings) int { return *field(s) },
		func(s *settings.Settings, n int) { *field(s) = n })
}

// seconds is a number that is kept as a duration.
func seconds(name, args, help, reply string, field func(*settings.Settings) *time.Duration, l limits) command {
	return integer(name, name+"_seconds", args, help, reply, l,
		func(s *settings.Settings) int { return int(*field(s) / time.Second) },
		func(s *settings.Settings, n int) { *field(s) = time.Duration(n) * time.Second })
}

// integer is a command that sets a number, which is called member in JSON.
func integer(name, member, args, help, reply string, l limits,
	get func(*settings.Settings) int, set func(*settings.Settings, int)) command {
	check := optionalNumber(l.least, l.most)
	if reply == "" {
		check = wantedNumber(l.least, l.most)
	}
	return command{
		name: name, args: args, help: help, check: check,
		run: func(c *call) {
			if len(c.args) > 0 {
				n := Atoi(c.args[0])
				if l.clamp != nil {
					n = l.clamp(n)
				}
				c.Settings.Update(func(s *settings.Settings) { set(s, n) })
			} else if reply == "" {
				c.ignored("argument missing")
			}
			n := get(c.Settings.Get())
			c.set(member, n)
			if reply != "" {
				c.printf(reply, n)
			}
		},
		save: func(_ *Env, s *settings.Settings) []string { return []string{fmt.Sprint(name, " ", get(s))} },
	}
}

// choice is a command that sets one of few words, kept as its index, and replies the present one.
func choice(name, help string, words []string, get func(*settings.Settings) int, set func(*settings.Settings, int)) command {
	return command{
		name: name, args: "[" + strings.Join(words, "|") + "]", help: help, check: optionalWord(words...),
		run: func(c *call) {
			if len(c.args) > 0 {
				n := slices.Index(words, c.args[0])
				if n < 0 {
					c.ignored("unknown word '%s': want %s", c.args[0], strings.Join(words, ", "))
				} else {
					c.Settings.Update(func(s *settings.Settings) { set(s, n) })
				}
			}
			c.showWord(name, words[get(c.Settings.Get())])
		},
		save: func(_ *Env, s *settings.Settings) []string { return []string{name + " " + words[get(s)]} },
	}
}

// text is a silent command that sets a string.
func text(name, args, help string, files bool, field func(*settings.Settings) *string) command {
	var touches func(*Env, []string) string
	if files {
		touches = firstArg
	}
	return command{
		name: name, args: args, help: help, touches: touches, check: wantedWord,
		run: func(c *call) {
			if len(c.args) == 0 {
				c.ignored("argument missing")
				return
			}
			c.Settings.Update(func(s *settings.Settings) { *field(s) = c.args[0] })
			c.set(name, c.args[0])
		},
		save: func(_ *Env, s *settings.Settings) []string { return []string{name + " " + *field(s)} },
	}
}

// forgotten marks a command whose setting pen does not write.
func forgotten(c command) command {
	c.forgotten = true
	return c
}
