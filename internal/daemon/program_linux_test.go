package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// need skips the test if a program is missing, or fails it if the environment says that nothing may be skipped.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("PEN_TEST_MUST") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// place127 is an address that nobody else uses: a port on an address of the loopback drawn at random.
func place127() string {
	return fmt.Sprintf("127.%d.%d.%d:7000", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
}

// output collects what a program writes. It may be read while the program runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// program is pen in a process of its own.
type program struct {
	*exec.Cmd
	t        *testing.T
	out, err output
	ended    chan struct{}
}

// begin starts pen with args.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, Cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.Args = append([]string{"pen"}, args...)
	p.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=10")
	p.Stdout, p.Stderr = &p.out, &p.err
	// A program in the background keeps the pipes of its parent's output open until it is ready.
	p.WaitDelay = time.Second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.Cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			p.stop()
		}
	})
	return p
}

// status waits for the end of p.
func (p *program) status() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		_ = p.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		p.t.Fatalf("%q does not end: %s", p.Args, &p.err)
		return -1
	}
}

// stop ends p as an operator does, and wants it to end well.
func (p *program) stop() {
	p.t.Helper()
	_ = p.Process.Signal(syscall.SIGTERM)
	if s := p.status(); s != 0 {
		p.t.Errorf("%q: status %d after TERM: %s", p.Args, s, &p.err)
	}
	if s := p.err.String(); strings.Contains(s, "DATA RACE") || strings.Contains(s, "panic:") {
		p.t.Errorf("%q: %s", p.Args, s)
	}
}

// serving starts pen in the foreground at addr, before the operands, and waits until it serves.
func serving(t *testing.T, addr string, args ...string) *program {
	t.Helper()
	p := begin(t, append([]string{"-f", addr}, args...)...)
	await(t, "pen at "+addr, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%q: status %d: %s", p.Args, p.ProcessState.ExitCode(), &p.err)
		default:
		}
		return strings.Contains(p.err.String(), serves)
	})
	return p
}

// await waits until f holds.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// dial connects to addr, from an address if one is given.
func dial(t testing.TB, addr string, from ...string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	for _, f := range from {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(f)}
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// greeter is a server that says its name, one byte, and then echoes.
func greeter(t testing.TB, name byte) netip.AddrPort {
	t.Helper()
	return testnet.Serve(t, testnet.Loopback(t), func(ctx context.Context, c *net.TCPConn) {
		_, _ = c.Write([]byte{name})
		testnet.Echo()(ctx, c)
	})
}

// who is the name of the server that c got; 0 if the connection was closed instead.
func who(t testing.TB, c net.Conn) byte {
	t.Helper()
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return 0
	}
	return b[0]
}

// ask sends msg and wants it back.
func ask(t testing.TB, c net.Conn, msg string) {
	t.Helper()
	if _, err := io.WriteString(c, msg); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != msg {
		t.Fatalf("%q, %v; want %q", got, err, msg)
	}
}

// tell sends a command to the control socket at addr.
func tell(t testing.TB, addr, command string) string {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// stat reads a number of /proc/PID/stat, by its place in proc(5).
func stat(t *testing.T, pid, place int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	n, err := strconv.Atoi(fields[place-3])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
