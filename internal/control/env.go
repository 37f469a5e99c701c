package control

import (
	"context"
	"io"
	"io/fs"
	"net/netip"
	"strconv"
	"sync"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/stats"
)

// Env is what commands act on. Its methods may be called from any goroutine except a loop's: one command, or one file,
// is executed at a time, and may wait for the disk or for [Runtime.Sync]; names are looked up before its turn comes.
// Once there are several callers nobody else may change Settings.
type Env struct {
	// set before the first command, Clients before Serve; then constant

	Settings *settings.Store
	Service  *balance.Service
	ACL      *acl.Table
	Clients  *client.Table // nil before the daemon has made it; its size is then Settings.ClientsMax
	Runtime  Runtime

	// Logf is told what was ignored, and why.
	Logf func(format string, args ...any)
	// Stdout receives the replies to commands in files, as pen does it; nil discards them.
	Stdout io.Writer

	// Given is what the options on the command line have set, before the file was read; until then the defaults.
	Given settings.Settings

	// set by commands on the command line; then constant

	CheckOnly    bool        // check: say what is wrong, and end
	RulesOnly    bool        // tproxy_rules: print what transparent needs of the kernel, and end
	ControlDir   string      // control_dir: where TCP clients may have files; empty: nowhere
	ControlMode  fs.FileMode // control_mode: of a Unix control socket; 0: 0600
	ControlGroup string      // control_mode: its group; empty: that of the process

	once   sync.Once // of what follows, for lookup
	byName map[string]*command
	table  []command

	// guarded by mu

	mu            sync.Mutex
	countriesTold bool // that access lists name countries without a database
	clientsChosen bool // clients_max has been given: from now on it only grows
}

// Runtime is what needs the daemon. Before it serves (options and the file read at start) the same commands run on
// an implementation that only keeps what it is given. Methods are called one at a time, from any goroutine but a
// loop's, and must not run commands themselves.
type Runtime interface {
	// Serving reports whether the loops run: what is effective only at start is then refused.
	Serving() bool

	// SettingsChanged follows each command or file that changed Settings, once, so that the daemon can act on
	// what is not simply read from the next snapshot (idlers, certificates, the backlog).
	SettingsChanged()

	// Sync returns when every loop has handled what its peers have seen, and has added its traffic to Service and
	// Clients. It precedes every reply made of counters. It returns at once when no loops run, or no longer.
	Sync()

	// Now is the time of the loops, nanoseconds since 1970.
	Now() int64

	// Connection describes slot n; inRange is false if there is no such slot.
	Connection(n int) (info ConnInfo, inRange bool)

	// CloseConnection closes slot n, if it is in use. It returns false if there is no such slot.
	CloseConnection(n int) (inRange bool)

	// SocketOwner is the connection that descriptor fd belongs to, -1 if none.
	SocketOwner(fd int) int

	// Idlers is how many idle connections to servers are open now.
	Idlers() int

	// Listen moves the listener to spec, in the form of the command line, which is the address at or, if that is
	// invalid, the path of a Unix socket. On error the old one stays.
	Listen(spec string, at netip.AddrPort) error

	// ListenSpec and ControlSpec are where we listen, as given; empty if we do not.
	ListenSpec() string
	ControlSpec() string

	// OpenLog logs to dest from now on, a file or host:port; empty stops logging. On error the old log stays open.
	// Settings.Log is changed by the command, after success.
	OpenLog(dest string) error

	// LogSyslog sends the log to the system's log as well, or no longer. Before it serves that only is noted.
	LogSyslog(on bool) error

	// OpenCountries makes the database at path the one that country entries of access lists go by; empty: none.
	// Before it serves it only is named. On error the old one stays.
	OpenCountries(path string) error

	// TryAuthorities is nil if a server can be spoken to with TLS and those whose certificates are in the file at path
	// can be trusted; balance.SystemCAs means those whom the system trusts. OpenAuthorities reads them for use.
	TryAuthorities(path string) error
	OpenAuthorities(path string) error

	// TryCongestion is nil if the system lets us use the congestion control of that name.
	TryCongestion(name string) error

	// TryTransparent is nil if the system lets us connect from the addresses of clients.
	TryTransparent() error

	// Transparent is what `transparent_stats` shows.
	Transparent() []Counter

	// Status writes the status page to file and returns it.
	Status(file string) ([]byte, error)

	// Snapshot is what the status page shows.
	Snapshot() *stats.Snapshot

	// Exit ends the program in order. It returns at once; the reply is still sent.
	Exit()

	// Resolve looks up a host name and returns the first address. Addresses are parsed by the caller. ctx bounds
	// the time. Unlike the others it is called for several names at a time.
	Resolve(ctx context.Context, host string) (netip.Addr, error)

	// Engine reports which engine runs and why no better one.
	Engine() EngineInfo

	// DSR is how direct server return goes; nil if there is none.
	DSR() *stats.Direct

	// UDP is what `udp` shows: a counter per line, and nothing without -U.
	UDP() []Counter

	// CommandLine is what `write` repeats of the command line.
	CommandLine() CommandLine
}

// ConnInfo is what the connection command shows of a slot.
type ConnInfo struct {
	State          int // 0 free, 1 connecting, 2 connected, +4 server closed, +8 client closed
	DownFD, UpFD   int // -1: none
	Client, Server int // indexes in the tables; -1: none
	Pending        int // bytes waiting in our buffers
}

// EngineInfo is what `engine` shows.
type EngineInfo struct {
	Name     string // empty: none yet
	Threads  int    // loops
	Features []string
	Open     int            // pipes for splicing that are open
	Used     int            // of these, such with bytes inside
	Passed   []EnginePassed // better engines that do not run, the best first
}

// EnginePassed is an engine that was passed over.
type EnginePassed struct{ Name, Reason string }

// CommandLine holds the options that are not settings, as they were given; empty ones were not.
type CommandLine struct {
	Foreground bool   // -f
	Emergency  string // -e
	Abuse      string // -B
	Jail       string // -j
	PidFile    string // -p
	User       string // -u
	ConfigFile string // -F: where `write` without argument goes
}

// Position is where a command was read, for the log.
type Position struct {
	Source string // file name, "control" or an option such as "-O"
	Line   int    // from 1; 0 if the source has no lines

	nesting int // 0: not in a file; 1: in one that nobody included
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.Source
	}
	return p.Source + ":" + strconv.Itoa(p.Line)
}
