package daemon

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
)

func TestParseListen(t *testing.T) {
	def := netip.MustParseAddr("0.0.0.0")
	for _, c := range []struct {
		spec string
		want string // "": an error
	}{
		{"80", "0.0.0.0:80"},
		{"http", "0.0.0.0:80"},
		{":80", "0.0.0.0:80"},
		{"127.0.0.1:80", "127.0.0.1:80"},
		{"127.0.0.1:http", "127.0.0.1:80"},
		{"::1:80", "[::1]:80"}, // the last colon splits
		{":::80", "[::]:80"},
		{"[::1]:80", "[::1]:80"},
		{"[2001:db8::7]:443", "[2001:db8::7]:443"},
		{"65535", "0.0.0.0:65535"},
		{"/run/pen", "/run/pen"},
		{"./pen:80", "./pen:80"}, // a path, for its slash
		{"0", ""},
		{"-1", ""},
		{"65536", ""},
		{"127.0.0.1:", ""},
		{"", ""},
		{"nosuchservice", ""},
	} {
		d := new(Daemon)
		a, err := d.parseListen(c.spec, def)
		got := ""
		if err == nil {
			got = a.String()
		} else if !strings.Contains(err.Error(), c.spec) {
			t.Errorf("parseListen(%q): %v does not name it", c.spec, err)
		}
		if got != c.want {
			t.Errorf("parseListen(%q) = %q, %v; want %q", c.spec, got, err, c.want)
		}
	}
}

func TestParseServer(t *testing.T) {
	type conf = balance.Config
	for _, c := range []struct {
		spec string
		host string
		want conf
	}{
		{"www", "www", conf{Port: 99}},
		{"www:80", "www", conf{Port: 80}},
		{"www:http", "www", conf{Port: 80}},
		{"www:", "www", conf{Port: 99}},
		{"www::5", "www", conf{Port: 99, Max: 5}},
		{"www:80:5", "www", conf{Port: 80, Max: 5}},
		{"www:80:5:7", "www", conf{Port: 80, Max: 5, Hard: 7}},
		{"www:80:5:7:3", "www", conf{Port: 80, Max: 5, Hard: 7, Weight: 3}},
		{"www:80:5:7:3:2", "www", conf{Port: 80, Max: 5, Hard: 7, Weight: 3, Prio: 2}},
		{"www:80:5:7:3:2:1", "www", conf{Port: 80, Max: 5, Hard: 7, Weight: 3, Prio: 2}},
		{"www:80:::3", "www", conf{Port: 80, Weight: 3}},
		{"10.0.0.1:80", "10.0.0.1", conf{Port: 80}},
		{"[::1]", "::1", conf{Port: 99}},
		{"[::1]:80", "::1", conf{Port: 80}},
		{"[2001:db8::1]:80:5:7:3:2", "2001:db8::1", conf{Port: 80, Max: 5, Hard: 7, Weight: 3, Prio: 2}},
		{"www:nosuchservice", "www", conf{}},
		{"www:80x", "www", conf{Port: 80}}, // as atoi(3)
		{"www:99999", "www", conf{}},
		{"/run/www", "/run/www", conf{Path: "/run/www"}},
		{"/run/www:5:7:3:2", "/run/www", conf{Path: "/run/www", Max: 5, Hard: 7, Weight: 3, Prio: 2}},
	} {
		got := parseServer(c.spec, 99)
		if diff := cmp.Diff(c.want, got.conf, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" || got.host != c.host {
			t.Errorf("parseServer(%q): host %q, want %q; %s", c.spec, got.host, c.host, diff)
		}
	}
}

// served runs pen in this process until f returns.
func served(t *testing.T, f func(d *Daemon), args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	stop := make(chan struct{})
	status := Main(Env{Args: append([]string{"pen", "-f"}, args...), Stdout: &out, Stderr: &errs, Stop: stop,
		Ready: func(d *Daemon) { defer close(stop); f(d) }})
	if status != 0 {
		t.Errorf("%q: status %d: %s", args, status, &errs)
	}
	return out.String(), errs.String()
}

// TestOptions looks at what becomes of options, wherever they stand and however they are joined.
func TestOptions(t *testing.T) {
	at := t.TempDir() + "/sock"
	file := place(t, "timeout 7\nblacklist 8\nroundrobin\nserver 2 address 10.0.0.2 port 82\n")
	for _, c := range []struct {
		args    []string
		want    func(*settings.Settings)
		servers []string
		stdout  string
	}{
		{args: nil, want: func(*settings.Settings) {}},
		{args: []string{"-rs"}, want: func(s *settings.Settings) { s.Rules.RoundRobin, s.Rules.Stubborn = true, true }},
		{args: []string{"-hWd", "-d"}, want: func(s *settings.Settings) { s.Rules.Hash, s.Rules.Weight, s.Debug = true, true, 2 }},
		{args: []string{"-N"}, want: func(s *settings.Settings) { s.Rules.Hash, s.Rules.RoundRobin = true, true }},
		{args: []string{"-x7", "-t9", "-rb4"}, want: func(s *settings.Settings) {
			s.ConnMax, s.ConnMaxHard, s.ConnectTimeout = 7, true, 9*time.Second
			s.Rules.Blacklist, s.Rules.RoundRobin = 4*time.Second, true
		}},
		{args: []string{"-x", "700"}, want: func(s *settings.Settings) { s.ConnMax, s.ConnMaxHard = 700, true }},
		{args: []string{"-T", "5", "-m", "7", "-q", "60", "-a", "-X"}, want: func(s *settings.Settings) {
			s.Tracking, s.MultiAccept, s.ListenQueue, s.ASCII, s.ExitEnabled = 5*time.Second, 7, 60, true, true
		}},
		{args: []string{"-O", "timeout 4", "-O", "timeout", "-o", "mode"}, stdout: "4\n4\nno hash no roundrobin no stubborn no weight no prio\n",
			want: func(s *settings.Settings) { s.ConnectTimeout = 4 * time.Second }},
		{args: []string{"-t4", "-O", "timeout 5"}, stdout: "5\n", want: func(s *settings.Settings) { s.ConnectTimeout = 5 * time.Second }},
		{args: []string{"-O", "timeout 5", "-t4"}, stdout: "5\n", want: func(s *settings.Settings) { s.ConnectTimeout = 4 * time.Second }},
		// The file comes after all options, wherever -F stands, and the servers of the command line after the file.
		{args: []string{"-F", file, "-t4"}, stdout: "7\n8\n", servers: []string{"10.0.0.9:90", "", "10.0.0.2:82"},
			want: func(s *settings.Settings) {
				s.ConnectTimeout, s.Rules.Blacklist, s.Rules.RoundRobin = 7*time.Second, 8*time.Second, true
			}},
		{args: []string{"-e", "10.0.0.5:85", "-B", "10.0.0.6"}, want: func(*settings.Settings) {}},
	} {
		servers := c.servers
		if servers == nil {
			servers = []string{"10.0.0.9:90"}
		}
		for _, args := range [][]string{
			append(append([]string{}, c.args...), at, "10.0.0.9:90"),
			append([]string{at, "10.0.0.9:90"}, c.args...),
		} {
			stdout, _ := served(t, func(d *Daemon) {
				want := settings.Default()
				c.want(&want)
				got := *d.store.Get()
				want.Engine, want.Threads = got.Engine, got.Threads
				if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
					t.Errorf("%q: %s", args, diff)
				}
				if n := d.servers.Len(); n != len(servers) {
					t.Errorf("%q: %d servers", args, n)
					return
				}
				for i, s := range servers {
					conf := d.servers.Config(i)
					a := sock.Addr{AddrPort: netip.AddrPortFrom(conf.Addr, conf.Port)}
					if conf.Usable() != (s != "") || s != "" && a.String() != s {
						t.Errorf("%q: server %d at %s, want %q", args, i, &a, s)
					}
				}
				if e := d.servers.Config(balance.Emergency); d.opts.Emergency != "" && (e.Port != 85 || !e.Usable()) {
					t.Errorf("%q: emergency server %+v", args, e)
				}
			}, args...)
			if stdout != c.stdout {
				t.Errorf("%q: stdout %q, want %q", args, stdout, c.stdout)
			}
		}
	}
}
