//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package sock

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEndpoint(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"192.0.2.1:80", "192.0.2.1:80"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1:80"},
		{"[fe80::1%3]:80", "[fe80::1%3]:80"},
		{"[fe80::1%nosuch0]:80", "[fe80::1]:80"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"[::]:65535", "[::]:65535"},
	} {
		e := EndpointOf(netip.MustParseAddrPort(tt.in))
		if got := e.AddrPort().String(); got != tt.want || !e.IsValid() {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
	}
	var none Endpoint
	if none.IsValid() || none.AddrPort().IsValid() || EndpointOf(netip.AddrPort{}) != none {
		t.Error("the zero Endpoint is an address")
	}
}

func tcp(s string) *Addr { return &Addr{AddrPort: netip.MustParseAddrPort(s)} }

func mustListen(t *testing.T, a *Addr, o *ListenOptions) *Listener {
	t.Helper()
	l, err := Listen(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestListenTCP(t *testing.T) {
	l := mustListen(t, tcp("127.0.0.1:0"), nil)
	a := l.Addr()
	if a.AddrPort.Port() == 0 || a.AddrPort.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("Addr = %v", a)
	}
	for _, opt := range []struct {
		name string
		opt  int
	}{{"SO_REUSEADDR", unix.SO_REUSEADDR}, {"SO_KEEPALIVE", unix.SO_KEEPALIVE}} {
		if v, err := unix.GetsockoptInt(l.FD(), unix.SOL_SOCKET, opt.opt); err != nil || v == 0 {
			t.Errorf("%s = %d, %v", opt.name, v, err)
		}
	}
	if fl, err := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v: it blocks", fl, err)
	}
	if fl, err := unix.FcntlInt(uintptr(l.FD()), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: it survives exec", fl, err)
	}
	if err := l.SetBacklog(5); err != nil {
		t.Error(err)
	}
	_, err := Listen(&a, nil)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "listen "+a.String()+": ") {
		t.Errorf("second listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	mustListen(t, &a, nil)
}

func TestListenReusePort(t *testing.T) {
	l := mustListen(t, tcp("[::1]:0"), &ListenOptions{ReusePort: true})
	a := l.Addr()
	mustListen(t, &a, &ListenOptions{ReusePort: true})
	if _, err := Listen(&a, nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a listener that does not share: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    *Addr
		want syscall.Errno
	}{
		{"nowhere", &Addr{}, syscall.EINVAL},
		{"not ours", tcp("192.0.2.1:0"), syscall.EADDRNOTAVAIL},
		{"long path", &Addr{Path: "/" + strings.Repeat("x", 200)}, syscall.ENAMETOOLONG},
		{"no directory", &Addr{Path: filepath.Join(t.TempDir(), "no", "s")}, syscall.ENOENT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := Listen(tt.a, nil); !errors.Is(err, tt.want) {
				t.Errorf("%v, %v; want %v", l, err, tt.want)
			}
		})
	}
}

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, path string }{
		{"short", filepath.Join(dir, "s")},
		{"as long as it goes", filepath.Join(dir, strings.Repeat("x", len(unix.RawSockaddrUnix{}.Path)-2-len(dir)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if len(dir) > 90 {
				t.Fatalf("the directory for temporary files is too long: %s", dir)
			}
			a := &Addr{Path: tt.path}
			l := mustListen(t, a, &ListenOptions{Mode: 0o640})
			if fi, err := os.Stat(tt.path); err != nil || fi.Mode() != fs.ModeSocket|0o640 {
				t.Errorf("%v, %v", fi, err)
			}
			// A second one replaces it; connections go to the newer.
			l2 := mustListen(t, a, nil)
			c, err := net.Dial("unix", tt.path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fd, peer, e := Accept(l2.FD())
			if e != 0 || peer.IsValid() {
				t.Fatalf("accept: %v, %v", peer, e)
			}
			Close(fd)
			if _, _, e := Accept(l.FD()); e != syscall.EAGAIN {
				t.Errorf("accept from the replaced one: %v", e)
			}
			if names, _ := filepath.Glob(filepath.Join(dir, ".pen*")); len(names) > 0 {
				t.Errorf("left over: %v", names)
			}
		})
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(&Addr{Path: file}, nil); !errors.Is(err, ErrNotSocket) {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file has %q, %v", b, err)
	}
}

func TestNetListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, a := range []*Addr{tcp("127.0.0.1:0"), {Path: path}} {
		l := mustListen(t, a, nil)
		at := l.Addr()
		for range 2 {
			nl, err := l.NetListener()
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial(at.Network(), at.String())
			if err != nil {
				t.Fatal(err)
			}
			got, err := nl.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got.Close()
			c.Close()
			if err := nl.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("closing the view removed the socket: %v", err)
	}
}

// until polls fd for events, as a loop would.
func until(t *testing.T, fd int, events int16) {
	t.Helper()
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("poll: %d, %v", n, err)
		}
		return
	}
}

func TestConnect(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    *Addr
		o    *Options
	}{
		{"ipv4", tcp("127.0.0.1:0"), nil},
		{"ipv4 with options", tcp("127.0.0.1:0"), &Options{NoDelay: true, Bind: netip.MustParseAddrPort("127.0.0.1:0")}},
		{"ipv6", tcp("[::1]:0"), &Options{Bind: netip.MustParseAddrPort("[::1]:0")}},
		{"other family", tcp("[::1]:0"), &Options{Bind: netip.MustParseAddrPort("127.0.0.1:0")}},
		{"unix", &Addr{Path: filepath.Join(t.TempDir(), "s")}, &Options{NoDelay: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := mustListen(t, tt.a, nil)
			a := l.Addr()
			fd, err := Open(&a, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			defer Close(fd)
			if e := Connect(fd, &a); e != 0 && e != syscall.EINPROGRESS {
				t.Fatal(e)
			}
			until(t, fd, unix.POLLOUT)
			if e := Error(fd); e != 0 {
				t.Fatal(e)
			}
			until(t, l.FD(), unix.POLLIN)
			got, peer, e := Accept(l.FD())
			if e != 0 {
				t.Fatal(e)
			}
			defer Close(got)
			if local := Local(fd); peer != local || Peer(got) != peer || Peer(fd) != EndpointOf(a.AddrPort) {
				t.Errorf("peer %v, local %v", peer.AddrPort(), local.AddrPort())
			}
			if n, e := Send(got, []byte("hello")); n != 5 || e != 0 {
				t.Errorf("send: %d, %v", n, e)
			}
			until(t, fd, unix.POLLIN)
			var b [10]byte
			if n, e := Recv(fd, b[:]); string(b[:n]) != "hello" || e != 0 {
				t.Errorf("recv: %q, %v", b[:n], e)
			}
			if n, e := Recv(fd, b[:]); n != 0 || e != syscall.EAGAIN {
				t.Errorf("recv: %d, %v; want EAGAIN", n, e)
			}
			if e := Shutdown(got); e != 0 {
				t.Error(e)
			}
			until(t, fd, unix.POLLIN)
			if n, e := Recv(fd, b[:]); n != 0 || e != 0 {
				t.Errorf("recv: %d, %v; want the end", n, e)
			}
			if n, e := Send(got, []byte("x")); n != 0 || e != syscall.EPIPE { // and no signal
				t.Errorf("send after shutdown: %d, %v", n, e)
			}
		})
	}
}

func TestCongestion(t *testing.T) {
	if err := TryCongestion("nosuch"); err == nil {
		t.Error("no error for a congestion control that does not exist")
	}
	a := Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:1")}
	fd, err := Open(&a, &Options{Congestion: "nosuch"})
	if err != nil {
		t.Errorf("a name that the system does not know spoils the socket: %v", err)
	}
	Close(fd)
}

func TestConnectErrors(t *testing.T) {
	l := mustListen(t, tcp("127.0.0.1:0"), nil)
	a := l.Addr()
	if _, err := Open(&a, &Options{Bind: netip.MustParseAddrPort("192.0.2.1:0")}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("bound to an address that is not ours: %v", err)
	}
	long := Addr{Path: "/" + strings.Repeat("x", 200)}
	fd, err := Open(&long, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := Connect(fd, &long); e != syscall.ENAMETOOLONG {
		t.Errorf("long path: %v", e)
	}
	Close(fd)
}

func TestSetAbort(t *testing.T) {
	l := mustListen(t, tcp("127.0.0.1:0"), nil)
	a := l.Addr()
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	until(t, l.FD(), unix.POLLIN)
	fd, _, e := Accept(l.FD())
	if e != 0 {
		t.Fatal(e)
	}
	if e := SetAbort(fd); e != 0 {
		t.Error(e)
	}
	Close(fd)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
}

func TestRaiseFileLimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	low := old
	low.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	if n, err := FileLimit(); n != 256 || err != nil {
		t.Errorf("FileLimit = %d, %v", n, err)
	}
	n, err := RaiseFileLimit()
	if err != nil || n <= 256 || n > uint64(old.Max) {
		t.Errorf("RaiseFileLimit = %d, %v; hard %d", n, err, old.Max)
	}
	if got, _ := FileLimit(); got != n {
		t.Errorf("the limit is %d, want %d", got, n)
	}
}
