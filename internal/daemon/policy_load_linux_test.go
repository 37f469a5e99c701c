package daemon

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is how much policy a pen has to go through for a connection.
type load struct {
	servers, entries int // of the table, and of the access list that applies
	clients          int // known
}

// under is pen with a load, in a process of its own.
type under struct {
	*program
	load
	addr    string
	control string
}

// underLoad starts pen with the given load. All servers are the same, so that the peers' part of the work is, too.
func underLoad(t *testing.T, l load, server netip.AddrPort) *under {
	t.Helper()
	u := &under{load: l, addr: place127(), control: filepath.Join(t.TempDir(), "ctl")}
	var b strings.Builder
	for i := range l.entries - 1 {
		fmt.Fprintf(&b, "acl 1 deny 10.%d.%d.%d\n", i>>16&255, i>>8&255, i&255)
	}
	b.WriteString("acl 1 permit 127.0.0.0 255.0.0.0\nclient_acl 1\n")
	for i := range l.servers {
		fmt.Fprintf(&b, "server %d address %s port %d weight 1\n", i, server.Addr(), server.Port())
	}
	file := filepath.Join(t.TempDir(), "pen.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-S", strconv.Itoa(l.servers), "-c", strconv.Itoa(l.clients), "-C", u.control, "-O", "threads 1", "-F", file}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "root") // a control socket is refused to root unless asked for
	}
	u.program = serving(t, u.addr, args...)
	return u
}

// spent is the processor time that u has used, in nanoseconds, of all threads.
func (u *under) spent(t *testing.T) (sum int64) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", u.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended meanwhile
		}
		ns, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// client is the address of the i-th client.
func (l load) client(i int) net.IP {
	return net.IPv4(127, byte(1+i/250/256), byte(i/250), byte(1+i%250))
}

// visits makes n connections, of the clients that pick names, 20 at a time, and returns pen's processor time for each.
func (u *under) visits(t *testing.T, n int, pick func(i int) int) time.Duration {
	t.Helper()
	before := u.spent(t)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 20 {
		wg.Go(func() {
			b := make([]byte, 64)
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: u.client(pick(i))}, Timeout: patience}).Dial("tcp4", u.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				_, err = c.Write(b[:1])
				if err == nil {
					_, err = io.ReadFull(c, b[:2])
				}
				c.Close()
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Duration(u.spent(t)-before) / time.Duration(n)
}

// TestPolicyUnderLoad compares what a connection costs with much policy and with little: it must not be more than a
// fifth, with ten thousand servers and access list entries and a million clients (PEN_SOAK; short runs have less of
// all, and tell only of gross errors). Weight and priority look at every server; what they cost is stated.
func TestPolicyUnderLoad(t *testing.T) {
	few, many := load{10, 10, 10}, load{1000, 1000, 20_000}
	rounds, conns, most := 3, 500, 2.0
	if soakFor(t) > 0 {
		many = load{10_000, 10_000, 1_000_000}
		rounds, conns, most = 7, 3000, 1.2
	}
	server := greeter(t, 'x')
	a, b := underLoad(t, few, server), underLoad(t, many, server)
	for _, u := range []*under{a, b} { // everybody becomes known
		u.visits(t, u.clients, func(i int) int { return i })
	}
	for _, c := range []struct {
		name     string
		commands []string
		bounded  bool
	}{
		{"tracked", nil, true},
		{"roundrobin", []string{"roundrobin"}, true},
		// roundrobin stays: without it a known client goes to its server, whatever the algorithm
		{"hash", []string{"hash"}, true},
		{"weight", []string{"no hash", "weight"}, false},
		{"prio", []string{"no weight", "prio"}, false},
	} {
		var cost [2][]time.Duration
		for _, u := range []*under{a, b} {
			for _, command := range c.commands {
				if got := tell(t, u.control, command); got != "" {
					t.Fatalf("%s: %s", command, got)
				}
			}
		}
		for range rounds {
			for i, u := range []*under{a, b} {
				cost[i] = append(cost[i], u.visits(t, conns, func(int) int { return rand.IntN(u.clients) }))
			}
		}
		slices.Sort(cost[0])
		slices.Sort(cost[1])
		little, much := cost[0][rounds/2], cost[1][rounds/2]
		t.Logf("%s: %v with %+v, %v with %+v", c.name, little, few, much, many)
		if ratio := float64(much) / float64(little); c.bounded && ratio > most {
			t.Errorf("%s costs %.2f times as much", c.name, ratio)
		}
	}
}
