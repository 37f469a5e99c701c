package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
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

// A passage is a client and two servers that reach each other through pen's machine only. Server 0 has 10.8.2.2 and
// fd08:2::2, server 1 has 10.8.3.2 and fd08:3::2; both say by TCP and UDP port 80 from which address they are spoken to.
type passage struct {
	t           *testing.T
	client, pen *testnet.Host
	ctl         string
	stderr      *output
}

func newPassage(t *testing.T) *passage {
	t.Helper()
	testnet.Need(t, testnet.Root)
	need(t, "nft")
	l := testnet.New(t)
	p := &passage{t: t, client: l.Host("client"), pen: l.Host("pen"), stderr: &output{}}
	l.Link(p.pen, p.client, "10.8.1.1/24 fd08:1::1/64", "10.8.1.2/24 10.8.1.3/24 fd08:1::2/64 fd08:1::3/64")
	p.client.IP("route", "add", "default", "via", "10.8.1.1")
	for n := range 2 {
		h := l.Host(fmt.Sprint("server", n))
		net4, net6 := fmt.Sprintf("10.8.%d.", 2+n), fmt.Sprintf("fd08:%d::", 2+n)
		l.Link(p.pen, h, net4+"1/24 "+net6+"1/64", net4+"2/24 "+net6+"2/64")
		h.IP("route", "add", "default", "via", net4+"1")
		h.IP("-6", "route", "add", "default", "via", net6+"1")
		for _, ip := range []string{net4 + "2", net6 + "2"} {
			testnet.Serve(t, h.Listen("tcp", net.JoinHostPort(ip, "80")), func(ctx context.Context, c *net.TCPConn) {
				fmt.Fprintln(c, host(c.RemoteAddr()))
				testnet.Echo()(ctx, c)
			})
			sayHosts(t, h.ListenPacket("udp", net.JoinHostPort(ip, "80")))
		}
	}
	return p
}

// host is the address of a without its port.
func host(a net.Addr) string { ap := netip.MustParseAddrPort(a.String()); return ap.Addr().String() }

// sayHosts answers each datagram with the address that it came from.
func sayHosts(t *testing.T, c net.PacketConn) {
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte(host(from)), from)
		}
	})
	t.Cleanup(func() { c.Close(); done.Wait() })
}

// start runs pen there with args, and returns what ends it well; to be called by the test, for after it pen is killed.
func (p *passage) start(args ...string) (stop func()) {
	p.t.Helper()
	p.stderr = &output{}
	dir, err := os.MkdirTemp("", "pen") // the path of a socket must be short
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { os.RemoveAll(dir) })
	p.ctl = filepath.Join(dir, "ctl")
	cmd := p.pen.Exec(os.Args[0], append([]string{"-f", "-C", p.ctl, "-u", "root", "-r"}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = p.stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil || strings.Contains(p.stderr.String(), "DATA RACE") {
			p.t.Errorf("pen ended with %v: %s", err, p.stderr)
		}
	})
	await(p.t, "pen", func() bool {
		if len(ended) > 0 {
			p.t.Fatal("pen does not start")
		}
		return strings.Contains(p.stderr.String(), serves)
	})
	return stop
}

func (p *passage) tell(command string) string {
	p.t.Helper()
	var b strings.Builder
	if err := control.Ask(p.ctl, command, &b); err != nil {
		p.t.Fatalf("%s: %v: %s", command, err, p.stderr)
	}
	return b.String()
}

// dial connects the client, from that address of its own, to pen.
func (p *passage) dial(network, from string) net.Conn {
	p.t.Helper()
	at := map[bool]string{true: "10.8.1.1:80", false: "[fd08:1::1]:80"}[netip.MustParseAddr(from).Is4()]
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	var c net.Conn
	if err := p.client.Do(func() (err error) { c, err = d.Dial(network, at); return err }); err != nil {
		p.t.Fatalf("%v: %s", err, p.stderr)
	}
	p.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// seen is the address that the server has seen that c got; empty if there was none.
func seen(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, udp := c.(*net.UDPConn); udp {
		_, _ = io.WriteString(c, "who am I?")
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil {
			t.Error(err)
		}
		return string(b[:n])
	}
	var line string
	if _, err := fmt.Fscanln(c, &line); err != nil {
		return ""
	}
	ask(t, c, "and on it goes")
	return line
}

// all of the client's addresses, and a server of each family.
var clients, bothServers = []string{"10.8.1.2", "10.8.1.3", "fd08:1::2", "fd08:1::3"}, []string{"10.8.2.2:80", "[fd08:3::2]:80"}

// TestTransparent has servers see their clients, on every engine; strict sorts out which server is for whom.
func TestTransparent(t *testing.T) {
	p := newPassage(t)
	eachEngine(t, func(t *testing.T, engine string) {
		for _, network := range []string{"tcp", "udp"} {
			p.t = t
			args := append([]string{"-O", "engine " + engine, "-O", "transparent strict", "-O", "tproxy_setup on", "[::]:80"}, bothServers...)
			if network == "udp" {
				args = append([]string{"-U"}, args...)
			}
			stop := p.start(args...)
			for range 2 {
				for _, from := range clients {
					if got := seen(t, p.dial(network, from)); got != from {
						t.Errorf("%s: %s was seen as %q", network, from, got)
					}
				}
			}
			if s := p.tell("transparent_stats"); !strings.HasPrefix(s, "client_address 8\nown_address 0\n") {
				t.Errorf("%s: %s", network, s)
			}
			stop()
		}
	})
	if out, err := p.pen.Exec("nft", "list", "ruleset").Output(); len(out) != 0 || err != nil {
		t.Errorf("left behind: %s, %v", out, err)
	}
}

// TestTransparentTLS ends the client's TLS, and is seen as the client.
func TestTransparentTLS(t *testing.T) {
	p := newPassage(t)
	file := selfSigned(t, t.TempDir(), "site.test", "1")
	conf := trusting(t, file)
	defer p.start("-E", file, "-O", "transparent strict", "-O", "tproxy_setup on", "[::]:80", bothServers[0], bothServers[1])()
	for _, from := range clients {
		if got := seen(t, tls.Client(p.dial("tcp", from), conf)); got != from {
			t.Errorf("%s was seen as %q", from, got)
		}
	}
}

// TestTransparentCommands switches, with one server that half of the clients cannot be seen by.
func TestTransparentCommands(t *testing.T) {
	p := newPassage(t)
	defer p.start("-O", "transparent", "-O", "tproxy_setup on", "[::]:80", bothServers[0])()
	for _, tt := range []struct{ command, four, six string }{
		{"transparent", "10.8.1.2", "10.8.2.1"},
		{"transparent strict", "10.8.1.2", ""},
		{"source 10.8.1.1", "10.8.1.1", "10.8.1.1"},
		{"source 0.0.0.0", "10.8.1.2", ""},
		{"no transparent", "10.8.2.1", "10.8.2.1"},
		{"transparent", "10.8.1.2", "10.8.2.1"},
	} {
		p.tell(tt.command)
		if four, six := seen(t, p.dial("tcp", clients[0])), seen(t, p.dial("tcp", clients[2])); four != tt.four || six != tt.six {
			t.Errorf("%s: %q and %q, want %q and %q", tt.command, four, six, tt.four, tt.six)
		}
	}
	if s := p.tell("transparent_stats"); s != "client_address 4\nown_address 2\nrefused 2\nother_ports 0\n" {
		t.Error(s)
	}
	if !strings.Contains(p.stderr.String(), "so far, the last one") {
		t.Errorf("nothing was said of those that were not seen: %s", p.stderr)
	}
}

// TestTransparentPorts has more connections from one address than the machine has ports for its own: others are
// found, and no server is blamed.
func TestTransparentPorts(t *testing.T) {
	p := newPassage(t)
	p.pen.SetSysctl("net.ipv4.ip_local_port_range", "40000 40001")
	eachEngine(t, func(t *testing.T, engine string) {
		for _, network := range []string{"tcp", "udp"} {
			p.t = t
			args := []string{"-O", "engine " + engine, "-O", "blacklist 3600", "-O", "transparent strict", "-O", "tproxy_setup on", "[::]:80", bothServers[0]}
			if network == "udp" {
				args = append([]string{"-U"}, args...)
			}
			stop := p.start(args...)
			var held []net.Conn
			for range 12 {
				c := p.dial(network, clients[0])
				held = append(held, c)
				if got := seen(t, c); got != clients[0] {
					t.Errorf("%s: seen as %q: %s", network, got, p.stderr)
				}
			}
			if s := p.tell("transparent_stats"); strings.HasSuffix(s, "other_ports 0\n") {
				t.Errorf("%s: no port was short: %s", network, s)
			}
			for _, c := range held {
				c.Close()
			}
			stop()
		}
	})
}

// TestTransparentRefused does not start where it cannot work.
func TestTransparentRefused(t *testing.T) {
	testnet.Need(t, testnet.Root)
	need(t, "setpriv")
	for want, args := range map[string][]string{
		"grant CAP_NET_RAW":  {"-O", "transparent"},
		"not with udp_noses": {"-U", "-O", "transparent", "-O", "udp_nosession on"},
		"with dsr_if":        {"-O", "transparent", "-O", "dsr_if lo"},
	} {
		cmd := testnet.New(t).Host("pen").Exec("setpriv", append([]string{"--bounding-set=-net_raw,-net_admin", "--", os.Args[0], "-f"},
			append(args, "127.0.0.1:80", "127.0.0.2:80")...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || strings.Contains(string(out), serves) {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

// TestTransparentRules prints a script that does what tproxy_setup does, and names what is wrong.
func TestTransparentRules(t *testing.T) {
	p := newPassage(t)
	cmd := p.pen.Exec(os.Args[0], "-O", "transparent", "-O", "tproxy_rules", "[::]:80", bothServers[0], "192.0.2.1:80")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	script, err := cmd.Output()
	if err != nil || !strings.Contains(string(script), "# no route leads to server 192.0.2.1:80\n") {
		t.Fatalf("%v: %s", err, script)
	}
	if out, err := p.pen.Exec("sh", "-e", "-c", string(script)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, script)
	}
	defer p.start("-O", "transparent", "[::]:80", bothServers[0])()
	if got := seen(t, p.dial("tcp", clients[0])); got != clients[0] {
		t.Errorf("seen as %q", got)
	}
}

// TestTransparentKilled leaves no rules behind a pen that had no chance to take them away: it is in a jail, without
// rights, and killed.
func TestTransparentKilled(t *testing.T) {
	p := newPassage(t)
	// The program as it is shipped: the race detector makes a build with C of this one, which cannot keep a part of
	// root's rights.
	bin := filepath.Join(t.TempDir(), "pen")
	build := exec.Command("go", "build", "-o", bin, "github.com/penlb/pen/cmd/pen")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := p.pen.Exec(bin, "-f", "-j", t.TempDir(), "-u", "nobody", "-O", "transparent", "-O", "tproxy_setup on", "[::]:80", bothServers[0])
	cmd.Stderr = p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	rules := func() string {
		out, err := p.pen.Exec("sh", "-c", "nft list ruleset; ip rule show pref 100; ip -6 rule show pref 100").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	await(t, "pen", func() bool {
		out, err := p.pen.Exec("ss", "-ltnH", "sport = :80").CombinedOutput()
		return err == nil && len(out) > 0 && rules() != ""
	})
	if got := seen(t, p.dial("tcp", clients[0])); got != clients[0] {
		t.Errorf("seen as %q, and pen says %s", got, p.stderr.String())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	await(t, "the rules to go", func() bool { return rules() == "" })
}
