package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/testnet"
)

// statusPage is `openssl s_server`, which tells on a page how it was spoken to.
func statusPage(t *testing.T, cert, version string) (addr string) {
	t.Helper()
	var out output
	s := exec.Command("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", cert, "-www", version)
	s.Stdout = &out
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.Wait()
	})
	await(t, "openssl s_server", func() bool {
		_, rest, ok := strings.Cut(out.String(), "ACCEPT ")
		addr, _, _ = strings.Cut(rest, "\n")
		return ok && addr != ""
	})
	return addr
}

// The server is openssl, the client speaks in plain, and sessions are resumed whichever loop it meets.
func TestServerTLSPrograms(t *testing.T) {
	need(t, "curl", "openssl")
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		server := statusPage(t, cert, version)
		onEngines(t, func(t *testing.T, options []string) {
			addr := place127()
			serving(t, addr, append(options, "-O", "server 0 tls "+cert+" sni site.test", server)...)
			for i, want := range []string{"New, TLSv", "Reused, TLSv", "Reused, TLSv", "Reused, TLSv"} {
				if page := tool(t, "curl", "-sS", "http://"+addr+"/"); !strings.Contains(page, want) {
					t.Errorf("%s, connection %d: no %q in %s", version, i, want, page)
				}
			}
		})
	}
}

// HUP reads the authorities again, those of the command line as well as those of the file.
func TestServerTLSReload(t *testing.T) {
	dir := t.TempDir()
	cert := selfSigned(t, dir, "s.pem", "1")
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := os.ReadFile(selfSigned(t, dir, "other.pem", "2"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(good, good)
	if err != nil {
		t.Fatal(err)
	}
	server := testnet.Serve(t, testnet.Loopback(t), func(_ context.Context, c *net.TCPConn) {
		tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		_, _ = tc.Write([]byte{'a'})
		_, _ = io.Copy(tc, tc)
	})
	tlsKeys := "server 0 tls " + cert + " sni site.test"
	for name, args := range map[string][]string{
		"command line": {"-O", tlsKeys, server.String()},
		"jail":         {"-j", t.TempDir(), "-O", tlsKeys, server.String()},
		"file":         {"-F", place(t, fmt.Sprintf("%s address 127.0.0.1 port %d\n", tlsKeys, server.Port()))},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "jail" {
				testnet.Need(t, testnet.Root)
			}
			replace := func(b []byte) {
				if err := os.WriteFile(cert+".new", b, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(cert+".new", cert); err != nil {
					t.Fatal(err)
				}
			}
			replace(good)
			addr := place127()
			p := serving(t, addr, append([]string{"-b", "0"}, args...)...)
			served := func() bool {
				c := dial(t, addr)
				defer c.Close()
				return who(t, c) == 'a'
			}
			if !served() {
				t.Fatalf("no server: %s", &p.err)
			}
			replace(stranger)
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			await(t, "the end of trust", func() bool { return !served() })
			await(t, "the reason", func() bool { return strings.Contains(p.err.String(), "connect to server 0: TLS handshake: ") })
			replace([]byte("nothing"))
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			await(t, "a complaint", func() bool {
				return strings.Contains(p.err.String(), "authorities of servers: "+cert+": no certificate in it; the old ones stay")
			})
			replace(good)
			if err := p.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			await(t, "trust", served)
		})
	}
}

// What cannot be is said at the start, and nothing is spoken to in plain instead.
func TestServerTLSMistakes(t *testing.T) {
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-O", "server 0 tls /no/such/file"}, "-O: server 0: open /no/such/file: no such file"},
		{[]string{"-F", place(t, "server 0 tls /no/such/file\n")}, "pen.cfg:1: server: open /no/such/file: no such file"},
		{[]string{"-U", "-O", "server 0 tls " + cert}, "tls is not for UDP"},
		{[]string{"-O", "check", "-U", "-O", "server 0 tls " + cert}, "tls is not for UDP"},
		{[]string{"-O", "dsr_if lo", "-O", "server 0 tls " + cert}, "tls is not for dsr_if"},
	} {
		if status, _, stderr := runPen(append(tt.args, place127(), "127.0.0.1:1")...); status != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: status %d, %s", tt.args, status, stderr)
		}
	}
}

// While pen runs TLS can be added where the loops have been prepared for it.
func TestServerTLSAtRunTime(t *testing.T) {
	cert := selfSigned(t, t.TempDir(), "s.pem", "1")
	line := "server 1 address 127.0.0.1 port 1 tls " + cert + " sni site.test"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "restart it with tls of a server in the configuration"},
		{[]string{"-E", cert}, ""},
		{[]string{"-O", "server 0 tls " + cert}, ""},
	} {
		served(t, func(d *Daemon) {
			_, err := d.ctl.Run(line, control.Position{Source: "test"})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: %v", tt.args, err)
			}
			if got := d.servers.Len() > 1 && d.servers.Config(1).TLS != (balance.TLS{}); got != (tt.want == "") {
				t.Errorf("%q: changed: %v", tt.args, got)
			}
		}, append(tt.args, place127(), "127.0.0.1:1")...)
	}
}
