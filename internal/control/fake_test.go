package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/stats"
	"github.com/penlb/pen/internal/testnet"
)

func TestMain(m *testing.M) { testnet.Main(m) }

const fakeNow = 1_700_000_000 * int64(1e9)

var errFake = errors.New("it is broken")

// fakeRuntime is a daemon with one connection, in slot 0 of 3.
type fakeRuntime struct {
	serving            bool
	listen, control    string
	listenAt           netip.AddrPort
	commandLine        CommandLine
	page               string
	changed, syncs     int
	exited, closed     int
	opened             []string
	countries          string
	authorities        []string
	beforeSync         func() // run by Sync
	onOpen             func() // run by OpenLog
	resolve            func(context.Context, string) (netip.Addr, error)
	listenErr, openErr error
	transparentErr     error
	packets            []uint64      // of DSR
	direct             *stats.Direct // of Snapshot
}

func (r *fakeRuntime) Serving() bool    { return r.serving }
func (r *fakeRuntime) SettingsChanged() { r.changed++ }
func (r *fakeRuntime) Now() int64       { return fakeNow }
func (r *fakeRuntime) Idlers() int      { return 1 }

func (r *fakeRuntime) TryTransparent() error { return r.transparentErr }

func (r *fakeRuntime) Transparent() []Counter { return []Counter{{Name: "client_address", Value: 3}} }

func (r *fakeRuntime) Sync() {
	r.syncs++
	if r.beforeSync != nil {
		r.beforeSync()
	}
}

func (r *fakeRuntime) Connection(n int) (ConnInfo, bool) {
	if n == 0 {
		return ConnInfo{State: 2, DownFD: 8, UpFD: 9, Client: 4, Server: 1, Pending: 77}, true
	}
	return ConnInfo{DownFD: -1, UpFD: -1}, 0 < n && n < 3
}

func (r *fakeRuntime) CloseConnection(n int) bool {
	if n < 0 || n >= 3 {
		return false
	}
	r.closed++
	return true
}

func (r *fakeRuntime) SocketOwner(fd int) int {
	if fd == 8 || fd == 9 {
		return 0
	}
	return -1
}

func (r *fakeRuntime) Listen(spec string, at netip.AddrPort) error {
	if r.listenErr == nil {
		r.listen, r.listenAt = spec, at
	}
	return r.listenErr
}

func (r *fakeRuntime) ListenSpec() string  { return r.listen }
func (r *fakeRuntime) ControlSpec() string { return r.control }

func (r *fakeRuntime) OpenLog(dest string) error {
	if r.onOpen != nil {
		r.onOpen()
	}
	if r.openErr == nil {
		r.opened = append(r.opened, dest)
	}
	return r.openErr
}

func (r *fakeRuntime) LogSyslog(bool) error { return r.openErr }

func (r *fakeRuntime) OpenCountries(path string) error {
	if path == "/broken" {
		return errFake
	}
	r.countries = path
	return nil
}

func (r *fakeRuntime) TryAuthorities(path string) error {
	if path == "/broken" {
		return errFake
	}
	return nil
}

func (r *fakeRuntime) OpenAuthorities(path string) error {
	r.authorities = append(r.authorities, path)
	return r.TryAuthorities(path)
}

func (r *fakeRuntime) TryCongestion(name string) error {
	if name == "nosuch" {
		return errFake
	}
	return nil
}

func (r *fakeRuntime) Status(string) ([]byte, error) {
	r.Sync()
	if r.page == "" {
		return nil, errFake
	}
	return []byte(r.page), nil
}

func (r *fakeRuntime) Snapshot() *stats.Snapshot {
	return &stats.Snapshot{Time: time.Unix(0, fakeNow), ClientsMax: 2048, ConnMax: 500, ConnUsed: 1,
		Servers: []stats.Server{{Addr: "127.0.0.1", Port: 1000, Conn: 1, Sent: 7, Received: 8, StatusUnix: 9}},
		Clients: []stats.Client{{Addr: "10.0.0.1", Age: 5 * time.Second, Connects: 2, Sent: 3, Received: 4}},
		Conns:   []stats.Conn{{DownFD: 8, UpFD: 9, PendingDown: 70, PendingUp: 7}},
		Direct:  r.direct}
}

func (r *fakeRuntime) Exit() { r.exited++ }

func (r *fakeRuntime) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	if r.resolve != nil {
		return r.resolve(ctx, host)
	}
	if host == "localhost" {
		return netip.MustParseAddr("127.0.0.1"), nil
	}
	return netip.Addr{}, fmt.Errorf("lookup %s: no such host", host)
}

func (r *fakeRuntime) UDP() []Counter { return []Counter{{"sessions", 3}, {"up_sockets", 2}} }

func (r *fakeRuntime) CommandLine() CommandLine { return r.commandLine }

func (r *fakeRuntime) Engine() EngineInfo {
	return EngineInfo{Name: "epoll", Threads: 2, Features: []string{"accept4"}, Open: 3, Used: 1,
		Passed: []EnginePassed{{"uring", "it is forbidden here"}}}
}

func (r *fakeRuntime) DSR() *stats.Direct {
	return &stats.Direct{
		Servers: []stats.DirectServer{
			{Addr: "10.0.0.3", MAC: "02:00:00:00:00:01", State: "alive", Packets: 3, Bytes: 180},
			{Addr: "10.8.0.3", MAC: "02:00:00:00:00:01", State: "alive", Via: "10.0.0.1", MTU: 1480, Packets: 1, Bytes: 60},
		},
		VIPs:     []stats.DirectVIP{{Name: "10.0.0.100:80/tcp", Packets: 3, Bytes: 180}},
		Drops:    []stats.DirectDrop{{Cause: "denied", Frames: 2}},
		Answered: 1, Packets: r.packets,
	}
}

// logLines collects what Logf says.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, format+"\n", args...)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newEnv is an Env with two servers that serves already.
func newEnv(tb testing.TB) (*Env, *fakeRuntime, *logLines) {
	tb.Helper()
	r := &fakeRuntime{serving: true, listen: "127.0.0.1:8080", control: "/run/pen.ctl"}
	e, log := emptyEnv(r)
	for i, port := range []uint16{1000, 2000} {
		if err := e.Service.Update(i, func(c *balance.Config) {
			c.Addr, c.Port = netip.MustParseAddr("127.0.0.1"), port
		}); err != nil {
			tb.Fatal(err)
		}
	}
	return e, r, log
}

func emptyEnv(r Runtime) (*Env, *logLines) {
	lists := &acl.Table{}
	log := &logLines{}
	return &Env{
		Settings: settings.NewStore(settings.Default()),
		Service:  balance.New(lists),
		ACL:      lists,
		Clients:  client.New(settings.Default().ClientsMax),
		Runtime:  r,
		Logf:     log.logf,
		Given:    settings.Default(),
	}, log
}

// do runs commands and returns the reply to the last one.
func do(e *Env, lines ...string) string {
	reply := ""
	for _, line := range lines {
		b, _ := e.Run(line, Position{Source: "test"})
		reply = string(b)
	}
	return reply
}
