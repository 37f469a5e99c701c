package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/testnet"
)

// An island is a link with a client, pen and two servers that have the virtual addresses on their loopback.
type island struct {
	t       *testing.T
	client  *testnet.Host
	pen     *testnet.Host
	servers []*testnet.Host
	args    []string
	ctl     string
	stderr  *output
	process *exec.Cmd
	stop    func() // ends pen, and wants it to end well; to be deferred, for later it has been killed
}

// newIsland starts pen there with args, as a user without rights.
func newIsland(t *testing.T, args ...string) *island {
	t.Helper()
	testnet.Need(t, testnet.Root)
	l := testnet.New(t)
	cidr := "10.7.0.1/24 fd07::1/64"
	for i := 10; i < 30; i++ {
		cidr += fmt.Sprintf(" 10.7.0.%d/24", i)
	}
	i := &island{t: t, client: l.Host("client"), stderr: &output{}}
	i.pen = l.Host("pen")
	ports := []testnet.Port{{Host: i.client, CIDR: cidr}, {Host: i.pen, CIDR: "10.7.0.2/24 fd07::2/64"}}
	for n := range 2 {
		h := l.Host(fmt.Sprint("server", n))
		ports = append(ports, testnet.Port{Host: h, CIDR: fmt.Sprintf("10.7.0.%d/24 fd07::%d/64", 3+n, 3+n)})
		h.SetSysctl("net.ipv4.conf.all.arp_ignore", "1")
		h.SetSysctl("net.ipv4.conf.all.arp_announce", "2")
		h.IP("addr", "add", "10.7.0.100/32", "dev", "lo")
		h.IP("addr", "add", "fd07::100/128", "dev", "lo", "nodad")
		i.servers = append(i.servers, h)
		for _, addr := range []string{"10.7.0.100:80", "10.7.0.100:81", "[fd07::100]:80"} {
			testnet.Serve(t, h.Listen("tcp", addr), func(_ context.Context, c *net.TCPConn) { fmt.Fprint(c, n) })
		}
	}
	eth := l.Bridge("switch", ports...)[1]
	dir, err := os.MkdirTemp("", "pen") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	i.ctl = filepath.Join(dir, "ctl")
	i.args = append([]string{"-f", "-C", i.ctl, "-u", "nobody", "-O", "dsr_if " + eth}, args...)
	i.start()
	return i
}

// start starts pen and waits until it has found the servers.
func (i *island) start() {
	t := i.t
	t.Helper()
	cmd := i.pen.Exec(os.Args[0], i.args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = i.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.process = cmd
	i.stop = sync.OnceFunc(func() {
		if cmd.ProcessState != nil {
			return // killed
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || strings.Contains(i.stderr.String(), "DATA RACE") {
			t.Errorf("pen ended with %v: %s", err, i.stderr)
		}
	})
	t.Cleanup(i.stop)
	await(t, "the servers to be found", func() bool {
		_, err := os.Stat(i.ctl)
		return err == nil && strings.Count(i.tell("dsr_stats"), " alive ") == 2
	})
}

func (i *island) tell(command string) string {
	i.t.Helper()
	var b strings.Builder
	if err := control.Ask(i.ctl, command, &b); err != nil {
		i.t.Fatalf("%s: %v: %s", command, err, i.stderr)
	}
	return b.String()
}

// who are the servers that clients get at addr, in order; "-" is none.
func (i *island) who(addr string, clients ...string) string {
	i.t.Helper()
	got := ""
	for _, from := range clients {
		var c net.Conn
		err := i.client.Do(func() (err error) {
			d := net.Dialer{Timeout: 400 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err = d.Dial("tcp", addr)
			return err
		})
		if err != nil {
			got += "-"
			continue
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		text, _ := io.ReadAll(c)
		c.Close()
		got += string(text)
	}
	return got
}

func TestDSR(t *testing.T) {
	for mode, forwarder := range map[string]string{"auto": "tc", "packet": "packet"} {
		t.Run(mode, func(t *testing.T) { testDSR(t, mode, forwarder) })
	}
}

func testDSR(t *testing.T, mode, forwarder string) {
	i := newIsland(t, "-O", "dsr_mode "+mode, "-O", "acl 1 permit 10.7.0.200", "-O", "tarpit_acl 1", "-O", "dsr_vip [fd07::100]:80", "-O", "dsr_announce on",
		"10.7.0.100:80", "10.7.0.3", "10.7.0.4")
	defer i.stop()
	const vip = "10.7.0.100:80"
	var clients []string
	for n := 10; n < 30; n++ {
		clients = append(clients, fmt.Sprintf("10.7.0.%d", n))
	}
	spread := i.who(vip, clients...)
	if !strings.Contains(spread, "0") || !strings.Contains(spread, "1") || strings.Contains(spread, "-") {
		t.Fatalf("20 clients get %s\n%s%s", spread, i.tell("dsr_stats"), i.stderr)
	}
	if got := i.who("[fd07::100]:80", "fd07::1"); got != "0" && got != "1" {
		t.Errorf("IPv6 gets %s", got)
	}
	if got := i.tell("servers"); strings.Contains(got, "sx 0 ") || strings.Contains(got, "conn 0 ") {
		t.Errorf("no traffic in %s", got)
	}
	if got := i.tell("json status"); !strings.Contains(got, `"vip":"10.7.0.100:80/tcp"`) {
		t.Errorf("status says %s", got)
	}
	if got := i.tell("engine"); !strings.HasPrefix(got, "engine "+forwarder+"\n") {
		t.Errorf("engine is %s", got)
	}
	if got := i.tell("json dsr_stats"); !strings.Contains(got, `"vip":"10.7.0.100:80/tcp"`) {
		t.Errorf("dsr_stats says %s", got)
	}
	if c, err := i.client.Dial("tcp", "10.7.0.200:22"); err != nil {
		t.Errorf("tarpit: %v", err)
	} else {
		c.Close()
	}
	await(t, "the tarpit in the log", func() bool {
		return strings.Contains(i.stderr.String(), "tarpit: 10.7.0.1 connects to 10.7.0.200 port 22")
	})

	// What is about connections finds none, and does no harm.
	for command, want := range map[string]string{
		"connection 0": "Connection 0:\nstate = 0\n", "close 0": "Forcibly closing connection 0\n", "idlers 1": "Idlers: 0/1\n",
		"recent": "", "socket 5": "Socket 5 belongs to connection -1\n",
	} {
		if got := i.tell(command); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}

	follow := func(want, addr string, commands ...string) {
		t.Helper()
		for _, c := range commands {
			i.tell(c)
		}
		await(t, fmt.Sprint(want, " after ", commands), func() bool { return i.who(addr, "10.7.0.10", "10.7.0.11", "10.7.0.12") == want })
	}
	follow("111", vip, "server 0 address 0.0.0.0")
	follow("000", vip, "server 0 address 10.7.0.3", "server 1 blacklist 1000")
	follow(spread[:3], vip, "server 1 blacklist 0")
	follow("---", vip, "listen 10.7.0.100:81")
	follow(spread[:3], "10.7.0.100:81")
	follow(spread[:3], vip, "dsr_vip 10.7.0.100:80/tcp")
	follow("---", vip, "acl 0 deny 10.7.0.0 255.255.255.0")
	follow(spread[:3], vip, "no acl 0")
	if got := i.tell("listen"); got != "10.7.0.100:81\n" {
		t.Errorf("listens at %s", got)
	}
	i.tell("listen nowhere")
	if got := i.tell("listen"); got != "10.7.0.100:81\n" {
		t.Errorf("listens at %s", got)
	}
}

func TestDSRChecks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-O", "dsr_if lo", "10.0.0.100", "10.0.0.1"}, ""},
		{[]string{"-O", "dsr_if lo", "-U", "[fd00::1]:53", "10.0.0.1"}, ""},
		{[]string{"-O", "dsr_if none0", "10.0.0.100", "10.0.0.1"}, "dsr_if none0: "},
		{[]string{"-O", "dsr_if lo", "localhost:80", "10.0.0.1"}, "virtual address localhost:80: want an IP address"},
		{[]string{"-O", "dsr_if lo", "-O", "dsr_vip 10.0.0.2:80/sctp", "10.0.0.100", "10.0.0.1"}, `protocol "sctp": want tcp or udp`},
	} {
		status, stdout, stderr := runPen(append([]string{"-O", "check"}, tt.args...)...)
		if ok := status == 0; ok != (tt.want == "") || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: status %d, %s%s", tt.args, status, stdout, stderr)
		}
	}
}
