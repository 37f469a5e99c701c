package daemon

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
	"github.com/penlb/pen/ring"
)

// soakFor is how long, and with how much, the tests in this file shall run: PEN_SOAK=30s, or 0 for a short run.
func soakFor(t testing.TB) time.Duration {
	t.Helper()
	v := os.Getenv("PEN_SOAK")
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("PEN_SOAK: %v", err)
	}
	return d
}

// eachEngine runs a test on every engine that works here.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if a.OK {
			t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
		} else {
			t.Logf("not on %s: %s", a.Name, a.Reason)
		}
	}
}

// TestSoakConnections has 200 clients at a time, from all over 127/8, connect, talk and close. Not one may fail, and
// in the end everything is as before.
func TestSoakConnections(t *testing.T) {
	length := max(2*time.Second, soakFor(t))
	eachEngine(t, func(t *testing.T, engine string) {
		servers := []string{greeter(t, 'a').String(), greeter(t, 'b').String()}
		served(t, func(d *Daemon) {
			before := d.resources()
			stood := standstills(t)
			var done atomic.Int64
			var report sync.Once
			var wg sync.WaitGroup
			end := time.Now().Add(length)
			for i := range 200 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(i), 5))
					for time.Now().Before(end) {
						if err := visit(d.ListenSpec(), rnd); err != nil {
							t.Errorf("after %d visits: %v", done.Load(), err)
							report.Do(func() { t.Logf("the process stood still for %v at most; %s", stood(), d.state()) })
							return
						}
						done.Add(1)
					}
				})
			}
			wg.Wait()
			t.Logf("%d connections", done.Load())
			if done.Load() < 200 {
				t.Error("too few to mean anything")
			}
			await(t, "the end of the connections", func() bool { return d.proxy.Conns() == 0 })
			var after resources
			await(t, fmt.Sprintf("%+v as before, not %+v", before, after), func() bool {
				after = d.resources()
				return after.within(before)
			})
		}, append([]string{place127(), "-O", "engine " + engine, "-O", "threads 2"}, servers...)...)
	})
}

// visit is one short connection from a random place.
func visit(addr string, rnd *rand.Rand) error {
	from := net.IPv4(127, byte(rnd.IntN(255)), byte(rnd.IntN(255)), byte(1+rnd.IntN(254)))
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}).Dial("tcp4", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	msg := strings.Repeat("x", 1+rnd.IntN(5000))
	if _, err := io.WriteString(c, msg); err != nil {
		return err
	}
	got := make([]byte, 1+len(msg))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got[1:]) != msg {
		return errors.New("the echo differs")
	}
	return nil
}

// standstills tells how long at most the whole process did not run since the call: when that is much, the machine or
// the runtime kept it from running, and not a loop that has forgotten its clients.
func standstills(t *testing.T) func() time.Duration {
	var longest atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		const beat = 100 * time.Millisecond
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				now := time.Now()
				longest.Store(max(longest.Load(), int64(now.Sub(last)-beat)))
				last = now
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
	return func() time.Duration { return time.Duration(longest.Load()) }
}

// state describes the loops and the connections of d, for the report of a failure: a loop that does not answer is one
// that hangs.
func (d *Daemon) state() string {
	var b strings.Builder
	for i, l := range d.loops {
		got := make(chan ring.Stats, 1)
		l.Post(func() { got <- l.Stats() })
		select {
		case st := <-got:
			fmt.Fprintf(&b, "loop %d: %+v; ", i, st)
		case <-time.After(3 * time.Second):
			buf := make([]byte, 1<<20)
			fmt.Fprintf(&b, "loop %d does not answer\n%s", i, buf[:runtime.Stack(buf, true)])
			return b.String()
		}
	}
	states := map[int]int{}
	for _, c := range d.proxy.All() {
		states[c.State]++
	}
	fmt.Fprintf(&b, "%d connections, by state %v", d.proxy.Conns(), states)
	return b.String()
}

// resources is what a daemon uses.
type resources struct {
	Files, Goroutines   int
	Socks, Bufs, Timers int
}

// resources counts those of d, and of the process, pipes aside: the loops keep some empty ones.
func (d *Daemon) resources() resources {
	r := resources{Files: sock.OpenFiles(), Goroutines: runtime.NumGoroutine()}
	for i, l := range d.loops {
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			st := l.Stats()
			r.Socks += st.Socks
			r.Bufs += st.Bufs
			r.Timers += st.Timers
		})
		<-done
		_ = i
	}
	return r
}

func (r resources) within(b resources) bool {
	return r.Files <= b.Files+4 && r.Goroutines <= b.Goroutines+2 && r.Socks <= b.Socks && r.Bufs <= b.Bufs && r.Timers <= b.Timers
}

// TestSoakStream sends much through the program and compares sums.
func TestSoakStream(t *testing.T) {
	size := int64(64 << 20)
	if soakFor(t) > 0 {
		size = 1 << 30
	}
	eachEngine(t, func(t *testing.T, engine string) {
		addr := place127()
		echo := testnet.Serve(t, testnet.Loopback(t), testnet.Echo())
		serving(t, addr, echo.String(), "-O", "engine "+engine)
		c := dial(t, addr)
		_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
		sent, got := sha256.New(), sha256.New()
		var wg sync.WaitGroup
		wg.Go(func() {
			src := rand.NewChaCha8([32]byte{1})
			if _, err := io.CopyN(io.MultiWriter(struct{ io.Writer }{c}, sent), src, size); err != nil {
				t.Error(err)
			}
			_ = c.CloseWrite()
		})
		n, err := io.Copy(got, struct{ io.Reader }{c})
		wg.Wait()
		if err != nil || n != size || string(sent.Sum(nil)) != string(got.Sum(nil)) {
			t.Errorf("%d of %d bytes came back, %v", n, size, err)
		}
	})
}

// peer starts the test binary in a role. Its lines come from next; closing stop, or the end of the test, ends it.
func peer(t *testing.T, role string) (next func() string, stdin io.WriteCloser) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), soakRole+"="+role, "GORACE=atexit_sleep_ms=10")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	})
	lines := bufio.NewReader(out)
	return func() string {
		s, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		return strings.TrimSpace(s)
	}, stdin
}

// TestSoakIdle has many connections that do nothing: they cost neither buffers nor pipes nor, but on the portable
// engine, goroutines, and all of them still work afterwards.
func TestSoakIdle(t *testing.T) {
	n := 1000
	if soakFor(t) > 0 {
		n = 9000
	}
	eachEngine(t, func(t *testing.T, engine string) {
		next, _ := peer(t, "server")
		server := next()
		served(t, func(d *Daemon) {
			before := d.resources()
			next, in := peer(t, fmt.Sprintf("client %s %d", d.ListenSpec(), n))
			if got := next(); got != "0" {
				t.Errorf("%s connections failed", got)
			}
			if got := d.proxy.Conns(); got != n {
				t.Errorf("%d connections, want %d", got, n)
			}
			idle := d.resources()
			if idle.Bufs != 0 || idle.Socks != before.Socks+2*n {
				t.Errorf("%d idle connections hold %+v", n, idle)
			}
			if engine != "portable" && (idle.Goroutines > before.Goroutines+5 || idle.Files > before.Files+2*n+10) {
				t.Errorf("%d idle connections hold %+v, before %+v", n, idle, before)
			}
			_, _ = io.WriteString(in, "\n")
			if got := next(); got != "0" {
				t.Errorf("%s connections no longer work", got)
			}
			in.Close()
			await(t, "the end of all", func() bool { return d.proxy.Conns() == 0 && d.resources().within(before) })
		}, place127(), server, "-O", "engine "+engine)
	})
}
