package daemon

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// TestListenMoves moves the listener of a daemon that serves: its sessions stay, the old place is given up.
func TestListenMoves(t *testing.T) {
	server, first, second, third := greeter(t, 'a'), place127(), place127(), t.TempDir()+"/sock"
	at := func(spec string) netip.AddrPort { a, _ := netip.ParseAddrPort(spec); return a } // none for a path
	served(t, func(d *Daemon) {
		held := dial(t, first)
		if who(t, held) != 'a' {
			t.Error("not served")
		}
		for i, to := range []string{second, third, first} {
			if err := d.Listen(to, at(to)); err != nil {
				t.Errorf("listen %s: %v", to, err)
			}
			if d.ListenSpec() != to {
				t.Errorf("listens at %s, want %s", d.ListenSpec(), to)
			}
			network := "tcp"
			if to == third {
				network = "unix"
			}
			c, err := net.Dial(network, to)
			if err != nil {
				t.Error(err)
				continue
			}
			if who(t, c) != 'a' {
				t.Errorf("not served at %s", to)
			}
			c.Close()
			old := []string{first, second, third}[i]
			if c, err := net.Dial("tcp", old); err == nil {
				t.Errorf("%s still serves", old)
				c.Close()
			}
			ask(t, held, "still here")
		}
		taken := testnet.Loopback(t).Addr().String()
		if err := d.Listen(taken, at(taken)); err == nil || !strings.Contains(err.Error(), taken) {
			t.Errorf("listen at a place that is taken: %v", err)
		}
		if who(t, dial(t, first)) != 'a' || d.ListenSpec() != first {
			t.Error("a listen that fails takes the old one away")
		}
		held.Close()
	}, first, server.String())
}

// nginx serves dir, for the time of the test. more is what its section http has beside.
func nginx(t *testing.T, dir string, more ...string) (addr string) {
	t.Helper()
	need(t, "nginx")
	addr = place127()
	conf := filepath.Join(t.TempDir(), "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s.pid; error_log stderr;
events { worker_connections 200; }
http {
	access_log off; client_body_temp_path %[1]s.d1; proxy_temp_path %[1]s.d2; fastcgi_temp_path %[1]s.d3;
	uwsgi_temp_path %[1]s.d4; scgi_temp_path %[1]s.d5;
	server { listen %[2]s; root %[3]s; location = /who { return 200 "$remote_addr\n"; } }
	%[4]s
}`, conf, addr, dir, strings.Join(more, "\n"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-c", conf, "-e", "stderr")
	var errs output
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, "nginx", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return addr
}

// TestWeb has nginx behind and curl in front, on every engine.
func TestWeb(t *testing.T) {
	need(t, "nginx", "curl")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const page = "<title>hello</title>\n"
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	bulk, err := os.Create(filepath.Join(dir, "bulk"))
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	_, err = io.CopyN(io.MultiWriter(bulk, want), rand.NewChaCha8([32]byte{2}), 100<<20)
	if err = errors.Join(err, bulk.Close()); err != nil {
		t.Fatal(err)
	}
	first, second := nginx(t, dir), nginx(t, dir)
	eachEngine(t, func(t *testing.T, engine string) {
		addr := place127()
		serving(t, addr, first, second, "-O", "engine "+engine, "-r")
		run := func(to io.Writer, args ...string) {
			cmd := exec.Command("curl", append([]string{"-sS", "--fail", "--noproxy", "*", "--max-time", "60"}, args...)...)
			cmd.Stdout = to
			if err := cmd.Run(); err != nil {
				t.Errorf("curl %q: %v", args, err)
			}
		}
		curl := func(args ...string) string {
			var out bytes.Buffer
			run(&out, args...)
			return out.String()
		}
		if got := curl("http://" + addr + "/page.html"); got != page {
			t.Errorf("page: %q", got)
		}
		for i := range 4 { // several sources, connections kept alive
			from := fmt.Sprintf("127.0.0.%d", 2+i)
			url := "http://" + addr + "/page.html"
			if got := curl("--interface", from, url, url, url); got != page+page+page {
				t.Errorf("from %s: %q", from, got)
			}
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				got := sha256.New()
				if run(got, "http://"+addr+"/bulk"); !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
					t.Error("the 100 MB differ")
				}
			})
		}
		wg.Wait()
	})
}

// TestHTTPClient has many requests of package net/http at the same time, with bodies both ways.
func TestHTTPClient(t *testing.T) {
	l := testnet.Loopback(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	defer func() { srv.Close(); <-done }()
	served(t, func(d *Daemon) {
		transport := &http.Transport{MaxIdleConnsPerHost: 10}
		defer transport.CloseIdleConnections()
		c := http.Client{Transport: transport, Timeout: patience}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 20 {
					body := bytes.Repeat([]byte{byte(i)}, 1<<(j%18))
					r, err := c.Post("http://"+d.ListenSpec()+"/", "text/plain", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(r.Body)
					r.Body.Close()
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d of %d bytes, %v", len(got), len(body), err)
					}
				}
			})
		}
		wg.Wait()
	}, place127(), l.Addr().String())
}

// TestTermEndsConnections stops a daemon that serves: its clients are closed, and it does not linger.
func TestTermEndsConnections(t *testing.T) {
	addr := place127()
	p := serving(t, addr, greeter(t, 'a').String())
	c := dial(t, addr)
	who(t, c)
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if who(t, c) != 0 {
		t.Error("the client stays")
	}
}
