package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dnsNames is how many hosts the zone has.
const dnsNames = 1000

// nameServer is nsd, an authoritative name server, with a generated zone, in a process group of its own.
type nameServer struct {
	*exec.Cmd
	addr  string
	ended chan struct{}
}

// serveNames starts a name server and waits until it answers.
func serveNames(t *testing.T) *nameServer {
	t.Helper()
	dir := t.TempDir()
	var zone strings.Builder
	zone.WriteString("$TTL 60\n@ IN SOA ns.example.test. root.example.test. 1 3600 900 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n")
	for i := range dnsNames {
		fmt.Fprintf(&zone, "h%d IN A 10.0.%d.%d\n", i, i/256, i%256)
	}
	n := &nameServer{addr: place127(), ended: make(chan struct{})}
	host, port, _ := net.SplitHostPort(n.addr)
	// nsd would limit how often it answers one client.
	conf := fmt.Sprintf(`server:
	ip-address: %[2]s
	port: %[3]s
	server-count: 1
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: ""
	xfrdir: "%[1]s"
	xfrdfile: ""
	zonelistfile: "%[1]s/zones"
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
remote-control:
	control-enable: no
zone:
	name: example.test
	zonefile: zone
`, dir, host, port)
	for name, content := range map[string]string{"zone": zone.String(), "conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n.Cmd = exec.Command("/usr/sbin/nsd", "-d", "-c", filepath.Join(dir, "conf"))
	n.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said output
	n.Stdout, n.Stderr, n.WaitDelay = &said, &said, time.Second
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(n.ended); _ = n.Wait() }()
	t.Cleanup(n.kill)
	await(t, "the name server", func() bool {
		select {
		case <-n.ended:
			t.Fatalf("nsd: %s", &said)
		default:
		}
		return askName(n.addr, 1, 100*time.Millisecond) == nil
	})
	return n
}

// kill ends all of its processes at once.
func (n *nameServer) kill() {
	_ = syscall.Kill(-n.Process.Pid, syscall.SIGKILL)
	<-n.ended
}

// askName asks the name server at addr for host i, from a port of its own, and checks the answer.
func askName(addr string, i int, wait time.Duration) error {
	c, err := net.Dial("udp4", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	name := fmt.Sprintf("h%d", i)
	q := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(name))}
	binary.BigEndian.PutUint16(q, uint16(i))
	q = append(append(q, name...), "\x07example\x04test\x00\x00\x01\x00\x01"...)
	if _, err := c.Write(q); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	b := make([]byte, 1500)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	want := string([]byte{10, 0, byte(i / 256), byte(i % 256)})
	if n < len(q) || b[0] != q[0] || b[1] != q[1] || b[3]&15 != 0 || !strings.Contains(string(b[len(q):n]), want) {
		return fmt.Errorf("host %d: answer %x", i, b[:n])
	}
	return nil
}

// dnsperf asks addr all names, times over, with its options, and yields how many queries it sent and lost, and how
// many were answered in a second.
func dnsperf(t *testing.T, addr string, times int, options ...string) (sent, lost int, rate float64) {
	t.Helper()
	names := filepath.Join(t.TempDir(), "names")
	var b strings.Builder
	for i := range dnsNames {
		fmt.Fprintf(&b, "h%d.example.test A\n", i)
	}
	if err := os.WriteFile(names, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	options = append(options, "-s", host, "-p", port, "-d", names, "-n", strconv.Itoa(times), "-c", "20", "-t", "2")
	begin := time.Now()
	out, err := exec.Command("dnsperf", options...).CombinedOutput()
	if err != nil {
		t.Fatalf("dnsperf: %v\n%s", err, out)
	}
	find := func(what string) float64 {
		m := regexp.MustCompile(what + `: +([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("dnsperf tells no %q:\n%s", what, out)
		}
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		return v
	}
	if !strings.Contains(string(out), "NOERROR "+strconv.Itoa(int(find("Queries completed")))) {
		t.Errorf("not all answers are good:\n%s", out)
	}
	if lost = int(find("Queries lost")); lost > 0 {
		t.Logf("dnsperf: %s", out)
		// It waits two seconds for an answer (-t) before it calls the query lost. Seldom it calls one lost in a run that
		// was over sooner, which cannot be.
		if time.Since(begin) < 2*time.Second {
			lost = 0
		}
	}
	return int(find("Queries sent")), lost, find("Queries per second")
}

// TestDNS asks a real name server through pen: with dig, and with dnsperf at half the rate that the server holds alone.
// No query may be lost; with PEN_SOAK of 500,000.
func TestDNS(t *testing.T) {
	need(t, "/usr/sbin/nsd", "dig", "dnsperf")
	server := serveNames(t)
	times, rehearsal := 20_000/dnsNames, 10
	if soakFor(t) > 0 {
		times, rehearsal = 500_000/dnsNames, 100
	}
	_, _, alone := dnsperf(t, server.addr, rehearsal)
	onEngines(t, func(t *testing.T, options []string) {
		addr := place127()
		serving(t, addr, append(options, "-U", "-O", "udp_responses 1", server.addr)...)
		host, port, _ := net.SplitHostPort(addr)
		for range 3 {
			out, err := exec.Command("dig", "+short", "+time=5", "+tries=1", "@"+host, "-p", port, "h513.example.test").CombinedOutput()
			if err != nil || string(out) != "10.0.2.1\n" {
				t.Errorf("dig: %q, %v", out, err)
			}
		}
		sent, lost, rate := dnsperf(t, addr, times, "-Q", strconv.Itoa(int(alone/2)))
		t.Logf("%d queries, %d lost, %.0f/s; the server alone %.0f/s", sent, lost, rate, alone)
		if sent != times*dnsNames || lost != 0 {
			t.Errorf("%d of %d queries were lost", lost, sent)
		}
	})
}

// TestDNSServerDies kills one of three name servers among queries from a port each, with PEN_SOAK 5,000 a second. What is
// asked a second later is answered, all of it.
func TestDNSServerDies(t *testing.T) {
	need(t, "/usr/sbin/nsd")
	rate, length := 500, 2500*time.Millisecond
	if d := soakFor(t); d > 0 {
		rate, length = 5000, max(10*time.Second, d)
	}
	onEngines(t, func(t *testing.T, options []string) {
		servers := []*nameServer{serveNames(t), serveNames(t), serveNames(t)}
		addr := place127()
		args := append(options, "-U", "-O", "udp_responses 1")
		for _, s := range servers {
			args = append(args, s.addr)
		}
		serving(t, addr, args...)
		type query struct {
			at  time.Duration // since the start
			err error
		}
		queries := make([]query, int(length.Seconds()*float64(rate)))
		start, died := time.Now(), length/4
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		var wg sync.WaitGroup
		for i, killed := 0, false; i < len(queries); {
			now := time.Since(start)
			if !killed && now >= died {
				killed, died = true, now
				servers[1].kill()
			}
			for ; i < len(queries) && i < int(now.Seconds()*float64(rate)); i++ {
				q := &queries[i]
				q.at = time.Since(start)
				wg.Go(func() { q.err = askName(addr, rand.IntN(dnsNames), 2*time.Second) })
			}
			<-pace.C
		}
		wg.Wait()
		const inFlight = 250 * time.Millisecond // so old may be what the server had not answered when it died
		var early, late int
		last := -inFlight
		for _, q := range queries {
			switch {
			case q.err == nil:
			case q.at >= died-inFlight && q.at < died+time.Second:
				early++
				last = max(last, q.at-died)
			default:
				late++
				t.Errorf("%v after the death: %v", q.at-died, q.err)
			}
			if late == 10 {
				t.FailNow()
			}
		}
		t.Logf("%d queries, %d/s; %d lost, the last of them asked %v after the death", len(queries), rate, early, last)
	})
}

// TestUDPPorts has a million clients in a minute, each at an address and port of its own, with PEN_SOAK; else a few. All
// get their answers, and memory depends on how many sessions there may be, not on how many there were.
func TestUDPPorts(t *testing.T) {
	clients := 3000
	if soakFor(t) > 0 {
		clients = 1_000_000
	}
	onEngines(t, func(t *testing.T, options []string) {
		ctrl, addr := filepath.Join(t.TempDir(), "ctl"), place127()
		args := append(options, "-U", "-C", ctrl)
		if os.Geteuid() == 0 {
			args = append(args, "-u", "root")
		}
		for i := range 3 {
			args = append(args, echoServer(t, strconv.Itoa(i)).String())
		}
		p := serving(t, addr, args...)
		to, err := net.ResolveUDPAddr("udp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		empty := resident(t, p.Process.Pid)
		begin := time.Now()
		var lost [16]int
		var full int // bytes, when there are as many sessions as there may be, or in the middle
		var wg sync.WaitGroup
		for part := range lost {
			wg.Go(func() {
				for i := part; i < clients; i += len(lost) {
					if err := visitFrom(i, to); err != nil {
						if lost[part]++; lost[part] < 3 {
							t.Errorf("client %d: %v", i, err)
						}
					}
					if i == clients/2 {
						full = resident(t, p.Process.Pid)
					}
				}
			})
		}
		wg.Wait()
		length := time.Since(begin)
		end := resident(t, p.Process.Pid)
		sum := 0
		for _, n := range lost {
			sum += n
		}
		sessions := number(t, tell(t, ctrl, "udp"), "sessions")
		t.Logf("%d clients in %v, %d lost; %d sessions of %d bytes; resident %d KB empty, %d KB half-way, %d KB at the end",
			clients, length, sum, sessions, (end-empty)/max(sessions, 1), empty>>10, full>>10, end>>10)
		if began := number(t, tell(t, ctrl, "udp"), "began"); began != clients || sum != 0 {
			t.Errorf("%d sessions of %d clients began, %d were not answered", began, clients, sum)
		}
		// Each loop has its share of the sockets, which it fills up for one server earlier than for another.
		if most := min(clients, number(t, tell(t, ctrl, "udp"), "sessions_max")); sessions > most || sessions < most-most/20 {
			t.Errorf("%d sessions, want as many as there may be, %d", sessions, most)
		}
		if soakFor(t) > 0 {
			if length > time.Minute {
				t.Errorf("took %v", length)
			}
			if end > full+full/4 {
				t.Errorf("memory grows with the clients: %d KB half-way, %d KB at the end", full>>10, end>>10)
			}
		}
	})
}

// visitFrom asks the echo server at to from the address and port of client i, and checks the answer.
func visitFrom(i int, to *net.UDPAddr) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	const low, ports = 1024, 1<<16 - 1024
	msg := fmt.Sprint("client ", i)
	for {
		at := syscall.SockaddrInet4{Port: low + i%ports, Addr: [4]byte{127, 255, 0, byte(1 + i/ports)}}
		if err = syscall.Bind(fd, &at); !errors.Is(err, syscall.EADDRINUSE) { // by another program
			break
		}
		i += 1_000_000
	}
	if err := errors.Join(
		err,
		syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 2}),
	); err != nil {
		return err
	}
	if _, err := syscall.Write(fd, []byte(msg)); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := syscall.Read(fd, b)
	for errors.Is(err, syscall.EINTR) { // the runtime's own signals
		n, err = syscall.Read(fd, b)
	}
	if err == nil && !strings.HasSuffix(string(b[:max(n, 0)]), msg) {
		err = fmt.Errorf("answer %q", b[:n])
	}
	return err
}

// number is the value of a line of what `udp` shows.
func number(t *testing.T, text, name string) int {
	t.Helper()
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %q", name, text)
	return 0
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	n, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return n * os.Getpagesize()
}
