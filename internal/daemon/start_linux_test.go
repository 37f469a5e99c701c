package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/testnet"
)

// TestBadInput starts the program with what it cannot work with: it says what, and what to do, and leaves nothing.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	taken := testnet.Loopback(t).Addr().String() // not shared: without SO_REUSEPORT
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const server = "127.0.0.1:9"
	for _, c := range []struct {
		name   string
		args   []string // %A stands for an address to listen at
		status int
		says   []string // on stderr, or on stdout if the status is 2
	}{
		{"nothing", nil, 2, []string{"usage:"}},
		{"options only", []string{"-r"}, 2, []string{"usage:"}},
		{"unknown option", []string{"-y", "%A", server}, 2, []string{"usage:"}},
		{"unknown option in a bundle", []string{"-ry", "%A", server}, 2, []string{"usage:"}},
		{"argument missing", []string{"%A", server, "-x"}, 2, []string{"usage:"}},
		{"timeout 0", []string{"-t", "0", "%A", server}, 2, []string{"usage:"}},
		{"port 0", []string{"0", server}, 1, []string{`"0"`, "1 to 65535"}},
		{"port too large", []string{"127.0.0.1:65536", server}, 1, []string{`"65536"`, "1 to 65535"}},
		{"port no service", []string{"127.0.0.1:nosuchservice", server}, 1, []string{`"nosuchservice"`, "name of a service"}},
		{"listen at unknown host", []string{"no.such.host.invalid:80", server}, 1, []string{"no.such.host.invalid"}},
		{"listen at an address of others", []string{"192.0.2.1:7000", server}, 1, []string{"192.0.2.1:7000", "this machine has no such address"}},
		{"port in use", []string{taken, server}, 1, []string{taken, "another program has the port"}},
		{"listen at a file", []string{file, server}, 1, []string{file, "not a socket"}},
		{"unknown server", []string{"%A", "no.such.host.invalid:80"}, 1, []string{"unknown or invalid address [no.such.host.invalid]"}},
		{"two unknown servers", []string{"%A", "no.such.host.invalid", "nor.this.invalid"}, 1,
			[]string{"[no.such.host.invalid]", "[nor.this.invalid]"}},
		{"unknown emergency server", []string{"-e", "no.such.host.invalid:80", "%A", server}, 1, []string{"[no.such.host.invalid]"}},
		{"engine of another system", []string{"-O", "engine kqueue", "%A", server}, 1, []string{"kqueue", "available: ", "portable"}},
		{"unknown protocol", []string{"-L", "tls9", "%A", server}, 1, []string{"protocol version tls9 not known", "tls1"}},
		{"unknown user", []string{"-u", "nosuchuser", "%A", server}, 1, []string{"Can't getpwnam(nosuchuser)"}},
		{"jail missing", []string{"-j", dir + "/none", "%A", server}, 1, []string{"Can't chroot(" + dir + "/none)"}},
		{"jail no directory", []string{"-j", file, "%A", server}, 1, []string{"Can't chroot(" + file + ")"}},
		{"pid file impossible", []string{"-p", dir + "/none/pid", "%A", server}, 1, []string{"Can't create pidfile " + dir + "/none/pid"}},
		{"log impossible", []string{"-l", dir + "/none/log", "%A", server}, 1, []string{"Can't open logfile " + dir + "/none/log"}},
		{"certificate missing", []string{"-E", dir + "/none.pem", "%A", server}, 1, []string{dir + "/none.pem"}},
	} {
		for _, ground := range []string{"foreground", "background"} {
			t.Run(c.name+" in the "+ground, func(t *testing.T) {
				t.Parallel()
				addr := place127()
				pid := filepath.Join(t.TempDir(), "pid")
				args := []string{"-p", pid}
				if c.status == 2 && len(c.args) == 0 {
					args = nil
				}
				if ground == "foreground" && len(c.args) > 0 {
					args = append(args, "-f")
				}
				for _, a := range c.args {
					args = append(args, strings.ReplaceAll(a, "%A", addr))
				}
				p := begin(t, args...)
				if got := p.status(); got != c.status {
					t.Errorf("status %d, want %d", got, c.status)
				}
				said, silent := p.err.String(), p.out.String()
				if c.status == 2 {
					said, silent = p.out.String(), ""
				}
				for _, w := range c.says {
					if !strings.Contains(said, w) {
						t.Errorf("%q is not in %q", w, said)
					}
				}
				if silent != "" {
					t.Errorf("stdout: %q", silent)
				}
				if c.status == 1 && strings.Contains(said, "goroutine") {
					t.Errorf("it fell: %s", said)
				}
				if b, err := os.ReadFile(pid); err == nil {
					t.Error("the pid file is left")
					if n, err := strconv.Atoi(string(b)); err == nil {
						_ = syscall.Kill(n, syscall.SIGTERM)
					}
				}
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
					t.Error("something listens")
				}
			})
		}
	}
}

// TestBackground has the first process end only when the second serves.
func TestBackground(t *testing.T) {
	addr, dir := place127(), t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	args := []string{"-p", pidFile, "-X", addr, greeter(t, 'a').String(), "-r"}
	p := begin(t, args...)
	if s := p.status(); s != 0 {
		t.Fatalf("status %d: %s", s, &p.err)
	}
	c := dial(t, addr) // at once
	if who(t, c) != 'a' {
		t.Error("not served")
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b)) // so there is no newline
	if err != nil {
		t.Fatal(err)
	}
	if pid == p.Process.Pid {
		t.Error("the pid is that of the first process")
	}
	if got := stat(t, pid, 4); got == os.Getpid() || got == p.Process.Pid {
		t.Errorf("its parent is still %d", got)
	}
	if got := stat(t, pid, 6); got != pid {
		t.Errorf("its session is %d, want one of its own, %d", got, pid)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if want := strings.Join(append([]string{"pen"}, args...), "\x00") + "\x00"; err != nil || string(cmdline) != want {
		t.Errorf("its arguments: %q, %v", cmdline, err)
	}
	for fd := range 3 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || to != os.DevNull {
			t.Errorf("its descriptor %d: %s, %v", fd, to, err)
		}
	}
	ask(t, c, "still here")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the pid file", func() bool { _, err := os.Stat(pidFile); return err != nil })
	await(t, "a free port", func() bool {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

// TestSecond starts another pen at the same place: the kernel shares the clients, and the operator is told.
func TestSecond(t *testing.T) {
	addr := place127()
	first := serving(t, addr, greeter(t, 'a').String())
	second := serving(t, addr, greeter(t, 'b').String())
	await(t, "the warning", func() bool { return strings.Contains(second.err.String(), "another process listens on "+addr) })
	if strings.Contains(first.err.String(), "another process") {
		t.Error("the first one warns as well")
	}
	got := map[byte]bool{}
	await(t, "both", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got[who(t, c)] = true
		return got['a'] && got['b']
	})
}

// TestWords looks at what pen says and goes on.
func TestWords(t *testing.T) {
	addr := place127()
	p := serving(t, addr, greeter(t, 'a').String(), "-m", "0", "-q", "10", "-S", "4", "-D", "-Q", "-n", "-F", "/no/such/file",
		"-O", "debug", "-C", place127())
	for _, w := range []string{"multi_accept bumped to 1", "listen_queue bumped to 50", "making the -S option obsolete",
		"making the -D option obsolete", "making the -Q option obsolete", "making the -n option obsolete",
		"Can't read config file '/no/such/file'"} {
		if !strings.Contains(p.err.String(), w) {
			t.Errorf("%q is not in %q", w, &p.err)
		}
	}
	if os.Geteuid() == 0 && !strings.Contains(p.err.String(), "Won't open control port running as root") {
		t.Errorf("root opens a control socket: %q", &p.err)
	}
	if got := p.out.String(); got != "0\n" {
		t.Errorf("stdout %q, want the reply of -O", got)
	}
	if i := begin(t, "-i", "pen"); i.status() != 0 || !strings.Contains(i.err.String(), "Windows only") {
		t.Errorf("-i: %q", &i.err)
	}
}

// TestUser gives up root for good: user, groups, on every thread. Only then the control socket is open.
func TestUser(t *testing.T) {
	testnet.Need(t, testnet.Root)
	addr, ctl := place127(), place127()
	p := serving(t, addr, greeter(t, 'a').String(), "-u", "nobody", "-C", ctl, "-F", "/dev/null")
	if got := tell(t, ctl, "pid"); got != strconv.Itoa(p.Process.Pid)+"\n" {
		t.Errorf("pid: %q", got)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("tasks %v, %v", tasks, err)
	}
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			switch words := strings.Fields(value); name {
			case "Uid", "Gid":
				for _, w := range words {
					if w != "65534" {
						t.Errorf("%s: %s", f, line)
					}
				}
			case "Groups":
				if strings.Join(words, " ") != "65534" {
					t.Errorf("%s: %s", f, line)
				}
			}
		}
	}
	if who(t, dial(t, addr)) != 'a' {
		t.Error("not served")
	}
}

// TestJail runs in another root directory: what comes after is seen from there.
func TestJail(t *testing.T) {
	testnet.Need(t, testnet.Root)
	addr, dir := place127(), t.TempDir()
	if err := os.Mkdir(dir+"/var", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir+"/var", 0o777); err != nil {
		t.Fatal(err)
	}
	p := serving(t, addr, greeter(t, 'a').String(), "-j", dir, "-u", "nobody", "-p", "/var/pid", "-l", "/var/log", "-w", "/var/page")
	for _, link := range []string{"root", "cwd"} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", p.Process.Pid, link)); err != nil || to != dir {
			t.Errorf("%s is %s, %v", link, to, err)
		}
	}
	if b, err := os.ReadFile(dir + "/var/pid"); err != nil || string(b) != strconv.Itoa(p.Process.Pid) {
		t.Errorf("pid file %q, %v", b, err)
	}
	c := dial(t, addr)
	if who(t, c) != 'a' {
		t.Error("not served")
	}
	ask(t, c, "for the log\n")
	await(t, "the log", func() bool {
		b, _ := os.ReadFile(dir + "/var/log")
		return strings.HasSuffix(string(b), " 127.0.0.1 for the log\n")
	})
	if err := p.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	await(t, "the status page", func() bool {
		b, _ := os.ReadFile(dir + "/var/page")
		return strings.Contains(string(b), "<title>Pen status page</title>")
	})
}

// TestReloadKeeps changes the configuration of a running program: its connections stay.
func TestReloadKeeps(t *testing.T) {
	addr := place127()
	file := place(t, "server 0 address 127.0.0.1 port "+strconv.Itoa(int(greeter(t, 'a').Port()))+"\n")
	p := serving(t, addr, "-F", file)
	c := dial(t, addr, "127.0.0.2")
	if who(t, c) != 'a' {
		t.Fatal("the server of the file does not serve")
	}
	b := greeter(t, 'b').Port()
	if err := os.WriteFile(file, fmt.Appendf(nil, "server 0 address 127.0.0.1 port %d\n", b), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the new server", func() bool {
		c := dial(t, addr)
		defer c.Close()
		return who(t, c) == 'b'
	})
	ask(t, c, "still here")
}

// TestExitCommand ends the program by its control socket, if -X allows that.
func TestExitCommand(t *testing.T) {
	testnet.Need(t, testnet.Root)
	for _, allowed := range []bool{false, true} {
		addr, ctl := place127(), place127()
		args := []string{greeter(t, 'a').String(), "-u", "nobody", "-C", ctl}
		if allowed {
			args = append(args, "-X")
		}
		p := serving(t, addr, args...)
		reply := tell(t, ctl, "exit")
		if allowed {
			if s := p.status(); s != 0 || reply != "" {
				t.Errorf("status %d, reply %q", s, reply)
			}
		} else if !strings.Contains(reply, "Exit is not enabled") {
			t.Errorf("reply %q", reply)
		}
	}
}

// TestServerPort has servers without a port take that of the listener.
func TestServerPort(t *testing.T) {
	served(t, func(d *Daemon) {
		for _, i := range []int{0, balance.Emergency} {
			if c := d.servers.Config(i); c.Port != 7000 {
				t.Errorf("server %d has port %d", i, c.Port)
			}
		}
		if c := d.servers.Config(1); c.Port != 80 || c.Addr != netip.MustParseAddr("::1") {
			t.Errorf("server 1: %+v", c)
		}
	}, place127(), "10.0.0.1", "[::1]:80", "-e", "10.0.0.2")
}
