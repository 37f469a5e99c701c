package daemon

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/control"
)

// udpServer answers each datagram with what f makes of it, until the test ends.
func udpServer(t *testing.T, f func([]byte) []byte) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer := f(buf[:n]); answer != nil {
				_, _ = c.WriteToUDPAddrPort(answer, from)
			}
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// echoServer answers with its name and what it got.
func echoServer(t *testing.T, name string) netip.AddrPort {
	return udpServer(t, func(b []byte) []byte { return append([]byte(name), b...) })
}

func dialUDP(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUDP("udp", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// askUDP sends a datagram and yields the answer.
func askUDP(t *testing.T, c *net.UDPConn, msg string) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func counter(d *Daemon, name string) uint64 {
	for _, c := range d.UDP() {
		if c.Name == name {
			return c.Value
		}
	}
	return 1 << 63
}

func TestUDPControl(t *testing.T) {
	first, second := place127(), place127()
	log := filepath.Join(t.TempDir(), "log")
	served(t, func(d *Daemon) {
		c := dialUDP(t, first)
		for range 3 {
			if got := askUDP(t, c, "hello\nworld"); got != "a:hello\nworld" {
				t.Errorf("answer %q", got)
			}
		}
		all := d.flows().All()
		if len(all) != 1 || counter(d, "sessions") != 1 || counter(d, "began") != 1 {
			t.Fatalf("%d sessions, counters %v", len(all), d.UDP())
		}
		n := all[0].Number
		want := control.ConnInfo{State: 2, DownFD: all[0].DownFD, UpFD: all[0].UpFD}
		if got, ok := d.Connection(n); !ok || got != want || got.UpFD < 0 {
			t.Errorf("connection: %+v, %v; want %+v", got, ok, want)
		}
		if got := d.SocketOwner(want.UpFD); got != n {
			t.Errorf("socket %d is one of connection %d, want %d", want.UpFD, got, n)
		}
		if s := d.Snapshot(); s.ConnUsed != 1 || len(s.Conns) != 1 || s.Servers[0].Sent != 33 || s.Servers[0].Received != 39 ||
			len(s.Clients) != 1 || s.Clients[0].Connects != 1 || s.Clients[0].Received != 33 {
			t.Errorf("snapshot %+v", s)
		}
		if !d.CloseConnection(n) || counter(d, "sessions") != 0 {
			t.Error("close leaves the session")
		}
		at := netip.MustParseAddrPort(second)
		if err := d.Listen(second, at); err != nil {
			t.Fatal(err)
		}
		if got := askUDP(t, dialUDP(t, second), "x"); got != "a:x" {
			t.Errorf("answer %q", got)
		}
		old := dialUDP(t, first)
		_, _ = old.Write([]byte("x"))
		if _, err := old.Read(make([]byte, 10)); err == nil {
			t.Error("the old place still answers")
		}
		if err := d.Listen("/path", netip.AddrPort{}); err == nil || !strings.Contains(err.Error(), "-U") {
			t.Errorf("listen on a path: %v", err)
		}
	}, "-U", "-l", log, first, echoServer(t, "a:").String())
	got, err := os.ReadFile(log)
	if err != nil || strings.Count(string(got), " 127.0.0.1 hello\n") != 3 || !strings.HasPrefix(string(got), "127.") {
		t.Errorf("log %q, %v", got, err)
	}
}

// TestUDPRecords wants a line for each session, also of those that are open when pen ends.
func TestUDPRecords(t *testing.T) {
	at, log := place127(), filepath.Join(t.TempDir(), "log")
	served(t, func(d *Daemon) {
		for range 2 {
			askUDP(t, dialUDP(t, at), "hello")
		}
		if all := d.flows().All(); len(all) != 2 || !d.CloseConnection(all[0].Number) {
			t.Errorf("sessions %v", all)
		}
	}, "-U", "-l", log, "-O", "log_format json", at, echoServer(t, "a:").String())
	got, err := os.ReadFile(log)
	text := string(got)
	if err != nil || strings.Count(text, `"up":5,"down":7,`) != 2 || strings.Count(text, `"cause":"operator"`) != 1 ||
		strings.Count(text, `"cause":"exit"`) != 1 {
		t.Errorf("log %s, %v", got, err)
	}
}

func TestUDPRefused(t *testing.T) {
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ listen, want string }{
		{taken.LocalAddr().String(), "another program has the port"},
		{"192.0.2.1:7000", "no such address"},
		{"/tmp/none", "UDP knows no paths"},
	} {
		if status, _, stderr := runPen("-f", "-U", tt.listen, "127.0.0.1:1"); status != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: status %d, %q; want %q", tt.listen, status, stderr, tt.want)
		}
	}
}

// TestDig asks a tiny name server with dig.
func TestDig(t *testing.T) {
	need(t, "dig")
	server := udpServer(t, func(q []byte) []byte {
		end := 12
		for end < len(q) && q[end] != 0 {
			end += int(q[end]) + 1
		}
		if end += 5; end > len(q) {
			return nil
		}
		m := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, q[12:end]...)
		return append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4)
	})
	onEngines(t, func(t *testing.T, options []string) {
		addr := place127()
		serving(t, addr, append(options, "-U", "-O", "udp_responses 1", server.String())...)
		host, port, _ := strings.Cut(addr, ":")
		for range 3 {
			out, err := exec.Command("dig", "+short", "+time=5", "+tries=1", "@"+host, "-p", port, "www.example.com").CombinedOutput()
			if err != nil || string(out) != "1.2.3.4\n" {
				t.Errorf("dig: %q, %v", out, err)
			}
		}
	})
}

// TestUDPRestart: a client that goes on asking meets the next pen at the same place.
func TestUDPRestart(t *testing.T) {
	server, addr := echoServer(t, "a:").String(), place127()
	c := dialUDP(t, addr)
	for range 3 {
		p := serving(t, addr, "-U", server)
		await(t, "an answer", func() bool {
			_, _ = c.Write([]byte("x"))
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(make([]byte, 10))
			return err == nil && n == 3
		})
		p.stop()
	}
}
