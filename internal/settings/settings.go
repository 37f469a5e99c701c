// Package settings holds the scalar settings of a service: what the command line, the configuration file and penctl
// can set beside servers and access lists. A snapshot is immutable; the loops read the current one without a lock.
package settings

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/header"
)

// FastClose tells whose end of stream closes both sides of a connection once the buffers are empty.
type FastClose uint8

// The values of `tcp_fastclose`.
const (
	FastCloseOff  FastClose = 0
	FastCloseUp   FastClose = 1 // the server's
	FastCloseDown FastClose = 2 // the client's
	FastCloseBoth FastClose = 3
)

func (f FastClose) String() string { return [...]string{"off", "up", "down", "both"}[f&3] }

// Values of Settings.Spin beside times.
const (
	SpinOff  time.Duration = 0
	SpinAuto time.Duration = -1
)

// Settings is one consistent set of values. Fields are named after the commands of penctl.
type Settings struct {
	Rules balance.Rules // roundrobin hash stubborn weight prio blacklist

	ClientACL  int // list applied to clients, 0-9
	ControlACL int // list applied to control clients, 0-9
	TarpitACL  int // list of addresses to tarpit, -1: off

	ConnMax     int  // connections at the same time (-x, conn_max)
	ConnMaxHard bool // ConnMax was asked for; else it is a starting size that grows
	ClientsMax  int  // size of the client table (-c, clients_max)
	PendingMax  int  // connects under way at the same time
	MultiAccept int  // connections accepted in one turn (-m)
	ListenQueue int  // backlog of the listener (-q)
	Idlers      int  // idle connections to keep open towards the servers

	ConnectTimeout time.Duration // -t, timeout
	Tracking       time.Duration // -T, tracking; 0: for ever
	IdleTimeout    time.Duration // 0: none

	FastClose   FastClose
	NoDelay     bool
	Keepalive   bool
	HTTP        bool        // -H
	Forwarded   header.Mode // what becomes of forwarded headers that clients send themselves
	Dummy       bool
	Transparent bool // servers see the client's address
	UDP         bool // -U
	Peek        bool // accepted as pen does; see docs/compat.md
	ASCII       bool // -a
	Debug       int  // -d
	ExitEnabled bool // -X
	Abort       bool // abort_on_error

	UDPTimeout      time.Duration // idle time after which a session ends; 0: only when room is needed
	UDPReplyTimeout time.Duration // silence after which a server counts as dead; 0: never
	UDPSessionsMax  int           // 0: as many as there are sockets for, up to a million
	UDPResponses    int           // answers to each datagram after which a session ends; 0: any number
	UDPConnected    bool          // a connected socket for each session
	UDPNoSession    bool          // forward only: answers are not expected

	TransparentStrict bool // with Transparent: or no connection at all
	TransparentSetup  bool // tproxy_setup: tell the kernel, until the end, what Transparent needs

	Source netip.Addr // local address of connections to servers; invalid: the kernel's choice

	Engine  string // asked for by `engine`; empty: the best there is
	Threads int    // loops; 0: chosen at start

	Spin       time.Duration // how long a loop polls before it sleeps; SpinAuto: for a small share of the time
	Congestion string        // congestion control of connections to servers; empty: the system's
	GeoIPDB    string        // file of the countries of addresses; empty: none

	Log       string // -l, log: file name or host:port; empty: none
	LogJSON   bool   // log_format json: a line for each connection at its end, not for each piece from a client
	LogSyslog bool   // log_syslog: to the log of the system as well, or only there
	WebStats  string // -w, web_stats
	DSRIf     string // dsr_if

	DSRVIPs     []string // dsr_vip, as given, in order; replaced, never appended in place
	DSRAnnounce bool     // dsr_announce
	DSRMode     string   // dsr_mode
	DSRPin      string   // dsr_pin: directory for what forwards in the kernel; empty: it ends with the process

	DSRSource4, DSRSource6 netip.Prefix // dsr_source: where outer packets of tunnels come from; zero: see package dsr

	SSLCiphers         string
	SSLSNIPath         string
	SSLOCSPResponse    string
	SSLOptions         []string      // as given, in order; replaced, never appended in place
	SSLRenegotiateWait time.Duration // ssl_client_renegotiation_interval
	TLSMin             string        // lowest version, "1.0" to "1.3"; empty: 1.2
	ALPN               string        // protocols, with commas between
	TicketKeys         string        // file of session ticket keys
	SNIStrict          bool          // clients that ask for a name without certificate are refused
}

// Default is what pen starts with.
func Default() Settings {
	return Settings{
		Rules:              balance.Rules{Blacklist: 30 * time.Second},
		TarpitACL:          -1,
		ConnMax:            500,
		ClientsMax:         2048,
		PendingMax:         100,
		MultiAccept:        100,
		ListenQueue:        500,
		Spin:               SpinOff,
		DSRMode:            "auto",
		UDPTimeout:         time.Minute,
		ConnectTimeout:     3 * time.Second, // pen(1) says 5; the program uses 3
		SSLRenegotiateWait: time.Hour,
	}
}

// Store publishes the current Settings.
type Store struct {
	mu  sync.Mutex
	cur atomic.Pointer[Settings]
}

// NewStore starts with s.
func NewStore(s Settings) *Store {
	st := &Store{}
	st.cur.Store(&s)
	return st
}

// Get is the current snapshot; do not change it. Safe from any goroutine, never blocks.
func (st *Store) Get() *Settings { return st.cur.Load() }

// Update publishes a copy changed by f.
func (st *Store) Update(f func(*Settings)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := *st.cur.Load()
	f(&s)
	st.cur.Store(&s)
}
