package control

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/penlb/pen/internal/settings"
)

func TestReplies(t *testing.T) {
	t.Parallel()
	const twoServers = "0 addr 127.0.0.1 port 1000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
		"1 addr 127.0.0.1 port 2000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n"
	line0 := func(addr string, port, max, hard, weight, prio int) string {
		return fmt.Sprintf("0 addr %s port %d conn 0 max %d hard %d weight %d prio %d sx 0 rx 0\n"+
			"1 addr 127.0.0.1 port 2000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n", addr, port, max, hard, weight, prio)
	}
	tests := []struct {
		lines string // separated by ;
		want  string // the reply to the last
	}{
		{"", ""},
		{"   ", ""},
		{"# comment", ""},
		{"#blacklist", ""},
		{"  #blacklist", ""},
		{"frob 1 2", "do_cmd: ignoring command starting with 'frob'\n"},
		{"MODE", "do_cmd: ignoring command starting with 'MODE'\n"},
		{"block", "do_cmd: ignoring command starting with 'block'\n"},
		{"delayed_forward", "do_cmd: ignoring command starting with 'delayed_forward'\n"},
		{"pid\r\ntimeout", fmt.Sprintf("%d\n", os.Getpid())},
		{"bl\x00acklist", "do_cmd: ignoring command starting with 'bl'\n"},

		{"blacklist", "30\n"},
		{"blacklist 7;blacklist", "7\n"},
		{"  blacklist   12abc  extra", "12\n"},
		{"blacklist abc", "0\n"},
		{"blacklist -4", "-4\n"},
		{"blacklist 99999999999999999999", "2147483647\n"},
		{"timeout", "3\n"},
		{"timeout 4", "4\n"},
		{"tracking", "0\n"},
		{"tracking 600", "600\n"},
		{"debug", "0\n"},
		{"debug 2;debug", "2\n"},
		{"client_acl", "0\n"},
		{"client_acl 9", "9\n"},
		{"client_acl 3;client_acl 10", "0\n"},
		{"control_acl 3;control_acl -1", "0\n"},
		{"tarpit_acl", "tarpit_acl = -1"},
		{"dsr_stats", "server 10.0.0.3 mac 02:00:00:00:00:01 alive packets 3 bytes 180\n" +
			"server 10.8.0.3 mac 02:00:00:00:00:01 alive packets 1 bytes 60 tunnel via 10.0.0.1 mtu 1480\n" +
			"vip 10.0.0.100:80/tcp packets 3 bytes 180\ndrop denied 2\nanswered 1\nlost 0\nreopened 0\n"},
		{"tarpit_acl 3", "tarpit_acl = 3"},
		{"forwarded", "keep\n"},
		{"forwarded append;forwarded", "append\n"},
		{"forwarded append;forwarded nonsense;forwarded", "append\n"},
		{"spin", "off\n"},
		{"spin auto", "auto\n"},
		{"spin 50;spin", "50\n"},
		{"spin 5000", "1000\n"},
		{"spin 50;spin -1", "off\n"},
		{"congestion", ""},
		{"congestion reno;congestion nosuch", "reno\n"},
		{"congestion reno;no congestion;congestion", ""},
		{"log_format", "pen\n"},
		{"log_format json;log_format", "json\n"},
		{"log_syslog", "off\n"},
		{"log_syslog on;log_syslog", "on\n"},
		{"log_syslog on;log_syslog maybe", "on\n"},
		{"geoip_db", ""},
		{"geoip_db /db;geoip_db /broken", "/db\n"},
		{"geoip_db /db;no geoip_db;geoip_db", ""},
		{"tarpit_acl 10", "tarpit_acl = 0"},
		{"tarpit_acl 3;tarpit_acl -1", "tarpit_acl = -1"},
		{"clients_max", "2048\n"},
		{"clients_max 3000", "3000\n"},
		{"clients_max 3000;clients_max 10", "3000\n"},
		{"clients_max 10", "2048\n"},
		{"clients_max abc", "2048\n"},
		{"conn_max", "500\n"},
		{"conn_max 600;conn_max 500", "600\n"},
		{"conn_max 10", "500\n"},
		{"idle_timeout", "Idle timeout: 0 seconds\n"},
		{"idle_timeout 7x", "Idle timeout: 7 seconds\n"},
		{"idle_timeout -4", "Idle timeout: 0 seconds\n"},
		{"idlers", "Idlers: 1/0\n"},
		{"idlers 2", "Idlers: 1/2\n"},
		{"idlers -2", "Idlers: 1/0\n"},

		{"mode", "no hash no roundrobin no stubborn no weight no prio\n"},
		{"hash;roundrobin;stubborn;weight;prio;mode", "hash roundrobin stubborn weight prio\n"},
		{"hash;prio;no hash;mode", "no hash no roundrobin no stubborn no weight prio\n"},

		{"close 0", "Forcibly closing connection 0\n"},
		{"close 3", "Connection 3 out of range\n"},
		{"connection", "Connection 0:\nstate = 2\ndownfd = 8, upfd = 9\nclient = 4, server = 1\npend = 77\n"},
		{"connection -1", "Connection -1 out of range\n"},
		{"socket 9", "Socket 9 belongs to connection 0\n"},
		{"socket 5000", "Socket 5000 belongs to connection -1\n"},
		{"control", "/run/pen.ctl\n"},
		{"listen", "127.0.0.1:8080\n"},
		{"listen 127.0.0.1:9;listen", "127.0.0.1:9\n"},
		{"log", ""},
		{"log /l", "/l\n"},
		{"log /l;no log;log", ""},
		{"log 127.0.0.1:9;log", "127.0.0.1:9\n"},
		{"web_stats", ""},
		{"web_stats /w", "/w\n"},
		{"web_stats /w;no web_stats;web_stats", ""},
		{"status", "Unable to create webstats\n"},
		{"web_stats /w;status", "<html>\n"},
		{"exit", "Exit is not enabled; restart with -X flag\n"},
		{"recent", ""},
		{"source 127.0.0.1", ""},
		{"source 1.2.3.400", "unable to set source address to '1.2.3.400'"},
		{"tcp_fastclose", "do_cmd: ignoring tcp_fastclose without argument\n"},
		{"engine", "engine epoll\nthreads 2\nfeatures accept4\nspin off\npipes 3 open, 1 in use\nnot uring: it is forbidden here\n"},
		{"help pid", "pid\n\tshow the process number\n"},
		{"help frob", "no command is called 'frob'\n"},

		{"servers", twoServers},
		{"server 0 address 127.0.0.2 port 2001 max 3 hard 4 weight 5 prio 6;servers", line0("127.0.0.2", 2001, 3, 4, 5, 6)},
		{"server 0 nonsense 1 prio 8;servers", line0("127.0.0.1", 1000, 0, 0, 0, 8)},
		{"server 0 max;servers", twoServers},
		{"server 0 max 12abc hard;servers", line0("127.0.0.1", 1000, 12, 0, 0, 0)},
		{"server abc port 5;servers", line0("127.0.0.1", 5, 0, 0, 0, 0)},
		{"server 0 port http;servers", line0("127.0.0.1", 0, 0, 0, 0, 0)},
		{"server 0 port 65536;servers", line0("127.0.0.1", 0, 0, 0, 0, 0)},
		{"server 0 address localhost;servers", twoServers},
		{"server 0 address ::ffff:127.0.0.9;servers", line0("127.0.0.9", 1000, 0, 0, 0, 0)},
		{"server 0 max 1 address nosuch.invalid hard 2;servers", line0("127.0.0.1", 1000, 1, 0, 0, 0)},
		{"server 0 address /run/app.sock;servers", line0("/run/app.sock", 1, 0, 0, 0, 0)},
		{"server 0 address 0.0.0.0;servers", line0("0.0.0.0", 1000, 0, 0, 0, 0)},
		{"server;server 0;server -1 port 5;servers", twoServers},
		{"server 99999999 port 5;servers", twoServers},
		{"server 3 port 5;servers", twoServers +
			"2 addr 0.0.0.0 port 0 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
			"3 addr 0.0.0.0 port 5 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n"},
	}
	for _, tt := range tests {
		t.Run(tt.lines, func(t *testing.T) {
			t.Parallel()
			e, r, _ := newEnv(t)
			r.page = "<html>\n"
			if got := do(e, strings.Split(tt.lines, ";")...); got != tt.want {
				t.Errorf("reply (-want +got):\n%s", cmp.Diff(tt.want, got))
			}
		})
	}
}

// TestSilent wants no reply, and the settings that follow.
func TestSilent(t *testing.T) {
	t.Parallel()
	type set = settings.Settings
	tests := []struct {
		lines string
		want  func(*set) // changes the default into what is expected
	}{
		{"abort_on_error", func(s *set) { s.Abort = true }},
		{"abort_on_error;no abort_on_error", nil},
		{"ascii", func(s *set) { s.ASCII = true }},
		{"dsr_if eth0", nil}, // effective only at start
		{"dsr_ip 10.0.0.1", nil},
		{"dsr_announce on", nil},
		{"dsr_vip fd00::1", func(s *set) { s.DSRVIPs = []string{"fd00::1"} }},
		{"dsr_vip 10.0.0.1:80/udp;dsr_vip 10.0.0.2;dsr_vip 10.0.0.2", func(s *set) { s.DSRVIPs = []string{"10.0.0.1:80/udp", "10.0.0.2"} }},
		{"dsr_vip 10.0.0.2;no dsr_vip", nil},
		{"dummy", func(s *set) { s.Dummy = true }},
		{"dummy;no dummy", nil},
		{"http", func(s *set) { s.HTTP = true }},
		{"keepalive", func(s *set) { s.Keepalive = true }},
		{"peek", func(s *set) { s.Peek = true }},
		{"pending_max 5", func(s *set) { s.PendingMax = 5 }},
		{"pending_max 0", func(s *set) { s.PendingMax = 1 }},
		{"pending_max", nil},
		{"ssl_ciphers HIGH", func(s *set) { s.SSLCiphers = "HIGH" }},
		{"ssl_ciphers", nil},
		{"ssl_client_renegotiation_interval 60", func(s *set) { s.SSLRenegotiateWait = time.Minute }},
		{"ssl_client_renegotiation_interval", nil},
		{"ssl_ocsp_response /o", func(s *set) { s.SSLOCSPResponse = "/o" }},
		{"ssl_ocsp_response", nil},
		{"ssl_option a;ssl_option b;ssl_option a", func(s *set) { s.SSLOptions = []string{"a", "b"} }},
		{"ssl_option", nil},
		{"ssl_sni_path /d", func(s *set) { s.SSLSNIPath = "/d" }},
		{"tcp_fastclose up", func(s *set) { s.FastClose = settings.FastCloseUp }},
		{"tcp_fastclose down", func(s *set) { s.FastClose = settings.FastCloseDown }},
		{"tcp_fastclose both", func(s *set) { s.FastClose = settings.FastCloseBoth }},
		{"tcp_fastclose both;tcp_fastclose nonsense", nil},
		{"tcp_nodelay", func(s *set) { s.NoDelay = true }},
		{"transparent", func(s *set) { s.Transparent = true }},
		{"transparent;no transparent", nil},
		{"source 10.0.0.1", func(s *set) { s.Source = netip.MustParseAddr("10.0.0.1") }},
		{"source localhost", func(s *set) { s.Source = netip.MustParseAddr("127.0.0.1") }},
		{"source 10.0.0.1;source 0.0.0.0", nil},
		{"source", nil},
		{"acl;acl 1;acl 1 foo;acl 99 permit 1.1.1.1;no acl;no acl 99", nil},
		{"acl 1 permit 127.0.0.1;acl 1 deny ::1/64;no acl 1", nil},
		{"no;no nonsense;no block;no delayed_forward;no pid", nil},
		{"epoll;kqueue;poll;select;engine portable;threads 3", nil}, // it serves already
		{"include;include /no/such/file;write", nil},
		{"server 0 acl 99", nil},
	}
	for _, tt := range tests {
		t.Run(tt.lines, func(t *testing.T) {
			t.Parallel()
			e, _, _ := newEnv(t)
			for _, line := range strings.Split(tt.lines, ";") {
				if reply := do(e, line); reply != "" {
					t.Errorf("%s: reply %q", line, reply)
				}
			}
			want := settings.Default()
			if tt.want != nil {
				tt.want(&want)
			}
			if d := cmp.Diff(&want, e.Settings.Get(), sameAddr); d != "" {
				t.Errorf("settings (-want +got):\n%s", d)
			}
		})
	}
}

var sameAddr = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestWhatIsIgnoredIsLogged(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"frob 1":                          "test: frob: unknown command\n",
		"no frob":                         "test: no: nothing known as 'frob'\n",
		"server 0 frob 1 max 2":           "test: server: unknown key 'frob'\n",
		"server 0 address nosuch.invalid": "test: server: address nosuch.invalid: lookup nosuch.invalid: no such host\n",
		"source":                          "test: source: argument missing\n",
		"pending_max":                     "test: pending_max: argument missing\n",
		"engine x":                        "test: engine: no engine is called 'x'\n",
		"write":                           "test: write: no file\n",
		"# comment":                       "",
		"mode extra":                      "",
	} {
		e, _, log := newEnv(t)
		do(e, line)
		if got := log.String(); got != want {
			t.Errorf("%s: log %q, want %q", line, got, want)
		}
	}
}

func TestFailuresKeepTheOldState(t *testing.T) {
	t.Parallel()
	e, r, log := newEnv(t)
	do(e, "log /old")
	r.listenErr, r.openErr = errFake, errFake
	if got := do(e, "listen 1.2.3.4:7"); got != "127.0.0.1:8080\n" {
		t.Errorf("listen: %q", got)
	}
	if got := do(e, "log /new"); got != "/old\n" {
		t.Errorf("log: %q", got)
	}
	if got := do(e, "no log", "log"); got != "/old\n" {
		t.Errorf("log after no log: %q", got)
	}
	if d := cmp.Diff([]string{"/old"}, r.opened); d != "" {
		t.Errorf("opened (-want +got):\n%s", d)
	}
	if n := strings.Count(log.String(), "it is broken"); n != 3 {
		t.Errorf("%d reasons logged:\n%s", n, log)
	}
	if got := do(e, "web_stats /w", "status"); got != "Unable to create webstats\n" {
		t.Errorf("status: %q", got)
	}
}

func TestBlacklistOfAServer(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	available := func(after int64) bool {
		return e.Service.Available(&e.Settings.Get().Rules, 0, fakeNow+after*int64(time.Second))
	}
	do(e, "server 0 blacklist 100")
	if available(99) || !available(101) {
		t.Errorf("after 99 s %v, after 101 s %v", available(99), available(101))
	}
	if do(e, "server 0 blacklist 0"); !available(0) {
		t.Error("not lifted")
	}
}

func TestCountersAreFreshAndComplete(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	r.beforeSync = func() { e.Service.AddTraffic(1, 70, 90) }
	want := "1 addr 127.0.0.1 port 2000 conn 0 max 0 hard 0 weight 0 prio 0 sx 70 rx 90\n"
	if got := do(e, "servers"); !strings.HasSuffix(got, want) {
		t.Errorf("servers:\n%swant\n%s", got, want)
	}
	for _, line := range []string{"recent", "connection 0", "web_stats /w", "status"} {
		do(e, line)
	}
	if r.syncs != 4 {
		t.Errorf("%d barriers, want 4", r.syncs)
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	const second = int64(time.Second)
	for addr, ago := range map[string]int64{"10.0.0.1": 400, "10.0.0.2": 100} {
		e.Clients.Touch(netip.MustParseAddr(addr), fakeNow-ago*second, 0)
	}
	r.beforeSync = func() {
		ref, _ := e.Clients.Touch(netip.MustParseAddr("10.0.0.2"), fakeNow, 0)
		e.Clients.Add(ref, 7, 9)
	}
	if d := cmp.Diff("10.0.0.2 connects 2 sx 7 rx 9\n", do(e, "recent")); d != "" {
		t.Errorf("recent (-want +got):\n%s", d)
	}
	r.beforeSync = nil
	if n := strings.Count(do(e, "recent 500x"), "\n"); n != 2 {
		t.Errorf("%d clients in 500 s", n)
	}
	if got := do(e, "tracking 200", "recent 500"); strings.Contains(got, "10.0.0.1 ") {
		t.Errorf("an expired client is shown:\n%s", got)
	}
	e.Clients.Touch(netip.Addr{}, fakeNow, 0)
	if got := do(e, "recent"); !strings.Contains("\n"+got, "\n connects 1 sx 0 rx 0\n") {
		t.Errorf("Unix clients have no address:\n%s", got)
	}
}

func TestSettingsChanged(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	do(e, "blacklist", "mode", "server 0 max 1")
	if r.changed != 0 {
		t.Errorf("told of %d changes after none", r.changed)
	}
	if do(e, "blacklist 7", "hash"); r.changed != 2 {
		t.Errorf("told of %d changes after 2", r.changed)
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	do(e, "exit")
	e.Settings.Update(func(s *settings.Settings) { s.ExitEnabled = true })
	if r.exited != 0 {
		t.Error("exited without -X")
	}
	if got := do(e, "exit"); got != "" || r.exited != 1 {
		t.Errorf("reply %q, exited %d times", got, r.exited)
	}
}
