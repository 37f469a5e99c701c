package dsr

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/internal/testnet"
)

// far is a bench whose only server is beyond a router, and takes packets out of tunnels by itself, since the kernel need
// not have drivers for that.
//
//	client, pen, router ── bridge      router ── far
type far struct {
	*bench
	router, host *testnet.Host
	end4, end6   netip.Addr

	// guarded by mu
	mu      sync.Mutex
	sources map[string]bool // of outer packets
	longest int             // of what came out of them
}

func newFar(t *testing.T, on setting) *far {
	t.Helper()
	testnet.Need(t, testnet.Root)
	l := testnet.New(t)
	f := &far{router: l.Host("router"), host: l.Host("far"), sources: map[string]bool{},
		end4: netip.MustParseAddr("10.8.0.5"), end6: netip.MustParseAddr("fd08::5")}
	f.bench = &bench{t: t, client: l.Host("client"), pen: l.Host("pen"), log: &journal{t: t}, mode: on.mode,
		vip: netip.MustParseAddr(vip4), vip6: netip.MustParseAddr(vip6), servers: []*testnet.Host{f.host}}
	f.ifs = l.Bridge("switch", testnet.Port{Host: f.client, CIDR: "10.7.0.1/24 fd07::1/64"},
		testnet.Port{Host: f.pen, CIDR: "10.7.0.2/24 fd07::2/64"}, testnet.Port{Host: f.router, CIDR: "10.7.0.254/24 fd07::254/64"})
	ifRouter, ifFar := l.Link(f.router, f.host, "10.8.0.254/24 fd08::254/64", "10.8.0.5/24 fd08::5/64")
	for name, value := range map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"} {
		f.router.SetSysctl(name, value)
	}
	for h, ifs := range map[*testnet.Host][]string{f.router: {f.ifs[2], ifRouter}, f.host: {ifFar}} {
		for _, i := range append(ifs, "all") {
			h.SetSysctl("net.ipv4.conf."+i+".rp_filter", "0")
		}
	}
	// What comes through the router is cut and has its checksums: as on a wire.
	f.router.Offload(ifRouter, false, "tx", "tso", "gso")
	if !on.offload {
		f.client.Offload(f.ifs[0], false, "tx", "tso", "gso", "gro")
	}
	f.pen.IP("route", "add", "10.8.0.0/24", "via", "10.7.0.254")
	f.pen.IP("route", "add", "fd08::/64", "via", "fd07::254")
	f.host.IP("addr", "add", vip4+"/32", "dev", "lo")
	f.host.IP("addr", "add", vip6+"/128", "dev", "lo", "nodad")
	f.host.IP("route", "add", "default", "via", "10.8.0.254")
	f.host.IP("route", "add", "default", "via", "fd08::254")
	f.unwrap()
	return f
}

// unwrap hands what comes out of tunnels to the kernel of the server, which looks at every checksum.
func (f *far) unwrap() {
	f.t.Helper()
	var tun *os.File
	if err := f.host.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		tun = os.NewFile(uintptr(fd), "tun")
		r, err := unix.NewIfreq("out")
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}); err != nil {
		f.t.Fatal(err)
	}
	f.host.IP("link", "set", "out", "up")
	f.host.SetSysctl("net.ipv4.conf.out.rp_filter", "0")
	var readers sync.WaitGroup
	f.t.Cleanup(func() {
		readers.Wait()
		tun.Close()
	})
	for _, network := range []string{"ip4:4", "ip4:41", "ip6:4", "ip6:41"} {
		addr := f.end4.String()
		if strings.HasPrefix(network, "ip6") {
			addr = f.end6.String()
		}
		pc := f.host.ListenPacket(network, addr).(*net.IPConn)
		if err := pc.SetReadBuffer(8 << 20); err != nil {
			f.t.Fatal(err)
		}
		readers.Go(func() {
			for room := make([]byte, 1<<16); ; {
				n, from, err := pc.ReadFrom(room)
				if err != nil {
					return
				}
				f.mu.Lock()
				f.sources[from.String()] = true
				f.longest = max(f.longest, n)
				f.mu.Unlock()
				_, _ = tun.Write(room[:n]) // what the kernel does not take is lost, as on a wire
			}
		})
		f.t.Cleanup(func() { pc.Close() })
	}
}

// Data get through a tunnel whatever the families, and what is left to whom.
func TestTunnelsEndToEnd(t *testing.T) {
	settings(t, func(t *testing.T, on setting) {
		const size = 8 << 20
		f := newFar(t, on)
		vips := []netip.Addr{f.vip, f.vip6}
		config := Config{HashPort: true}
		for _, v := range vips {
			config.VIPs = append(config.VIPs, VIP{v, 0, Both})
			f.serve(netip.AddrPortFrom(v, 80), func(_ int, c net.Conn) {
				h := sha256.New()
				_, _ = io.Copy(h, io.LimitReader(c, size))
				_, _ = c.Write(h.Sum(nil))
			})
			pc := f.host.ListenPacket("udp", netip.AddrPortFrom(v, 53).String())
			go func() {
				for room := make([]byte, 8192); ; {
					n, from, err := pc.ReadFrom(room)
					if err != nil {
						return
					}
					_, _ = pc.WriteTo(fmt.Append(nil, n), from)
				}
			}()
		}
		config.Servers = []Server{{Addr: f.end4, Tunnel: true}}
		f.start(config)
		for _, end := range []netip.Addr{f.end4, f.end6} {
			config.Servers[0].Addr = end
			f.configure(config)
			outer := map[bool]int{true: 20, false: 40}[end.Is4()]
			sv := f.engine.Stats().Servers
			if len(sv) == 0 || sv[len(sv)-1].MTU != 1500-outer || !sv[len(sv)-1].Via.IsValid() {
				t.Errorf("servers %+v", sv)
			}
			for _, v := range vips {
				c, err := f.dial(netip.Addr{}, netip.AddrPortFrom(v, 80))
				if err != nil {
					t.Fatalf("%v through %v: %v\n%+v\n%s", v, end, err, f.engine.Stats(), f.log)
				}
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				want, got := sha256.New(), [sha256.Size]byte{}
				if _, err := io.Copy(io.MultiWriter(c, want), io.LimitReader(pattern(7), size)); err != nil {
					t.Fatalf("%v through %v: %v\n%+v", v, end, err, f.engine.Stats())
				}
				if _, err := io.ReadFull(c, got[:]); err != nil || !bytes.Equal(got[:], want.Sum(nil)) {
					t.Fatalf("%v through %v: what arrived is not what was sent: %v\n%+v", v, end, err, f.engine.Stats())
				}
				c.Close()
				f.asks(netip.AddrPortFrom(v, 53))
			}
			f.mu.Lock()
			if f.longest > 1500-outer || f.longest < 1000 || len(f.sources) < 2 {
				t.Errorf("through %v: up to %d bytes, from %v", end, f.longest, f.sources)
			}
			f.longest, f.sources = 0, map[string]bool{}
			f.mu.Unlock()
			for _, family := range []string{"-4", "-6"} { // or the other tunnel inherits what the client has learnt
				f.client.IP(family, "route", "flush", "cache")
			}
		}
		if s := f.engine.Stats(); s.Answered == 0 {
			t.Errorf("nobody was told that packets are too big: %+v", s)
		}
	})
}

// asks sends small datagrams, and ones in pieces that do not fit at first.
func (f *far) asks(at netip.AddrPort) {
	f.t.Helper()
	c, err := f.client.Dial("udp", at.String())
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	room := make([]byte, 100)
	for _, size := range []int{10, 5000} {
		answer := ""
		for try := 0; try < 5 && answer != fmt.Sprint(size); try++ {
			_, _ = c.Write(make([]byte, size))
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			n, _ := c.Read(room)
			answer = string(room[:n])
		}
		if answer != fmt.Sprint(size) {
			f.t.Errorf("%d bytes to %v: answer %q\n%+v", size, at, answer, f.engine.Stats())
		}
	}
}

// The kernel's routing counts, and what it says about lengths.
func TestWaysOfTheKernel(t *testing.T) {
	f := newFar(t, setting{true, TC})
	f.pen.IP("route", "add", "10.9.0.1/32", "via", "10.7.0.254", "mtu", "1300")
	f.pen.IP("route", "add", "10.9.0.2/32", "via", "inet6", "fd07::254", "dev", f.ifs[1])
	f.pen.IP("route", "add", "blackhole", "10.9.0.3/32")
	f.start(Config{})
	w := f.engine.nic.(*wired)
	for _, tt := range []struct {
		end, via string
		mtu      int
		err      string
	}{
		{"10.8.0.5", "10.7.0.254", 1480, ""},
		{"fd08::5", "fd07::254", 1460, ""},
		{"10.7.0.77", "10.7.0.77", 1480, ""}, // on the link
		{"10.9.0.1", "10.7.0.254", 1280, ""},
		{"10.9.0.2", "fd07::254", 1480, ""},
		{"10.9.0.3", "", 0, "no route: invalid argument"},
		{"10.99.0.1", "", 0, "no route: network is unreachable"},
		{"fd99::1", "", 0, "no route"},
		{"10.7.0.2", "", 0, "no route to another machine"},
		{"127.0.0.1", "", 0, "no route to another machine"},
	} {
		got, err := w.way(ip(tt.end))
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("%s: %+v, %v, want %s", tt.end, got, err, tt.err)
			}
			continue
		}
		if err != nil || got != (way{ip(tt.via), tt.mtu}) {
			t.Errorf("%s: %+v, %v", tt.end, got, err)
		}
	}
	f.pen.IP("link", "add", "elsewhere", "type", "veth", "peer", "name", "otherend")
	f.pen.IP("addr", "add", "10.10.0.1/24", "dev", "elsewhere")
	f.pen.IP("link", "set", "elsewhere", "up")
	if got, err := w.way(ip("10.10.0.2")); err == nil || !strings.Contains(err.Error(), "does not lead over "+f.ifs[1]) {
		t.Errorf("elsewhere: %+v, %v", got, err)
	}
}

// A thousand tunnels are one router to ask, and changed as soon as a thousand servers.
func TestManyTunnelsChange(t *testing.T) {
	const many = 1000
	const limit = 500 * time.Millisecond // with the race detector, on a machine that does other things too
	f := newFar(t, setting{true, TC})
	var config Config
	config.VIPs = []VIP{{f.vip, 0, Both}}
	for i := range many {
		a := netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)})
		config.Servers = append(config.Servers, Server{Addr: a, ID: i, Tunnel: true})
	}
	f.pen.IP("route", "add", "10.20.0.0/16", "via", "10.7.0.254")
	f.start(config)
	var took []time.Duration
	for i := range 10 {
		c := config
		c.Servers = config.Servers[:many-i%2]
		begin := time.Now()
		if err := f.engine.Configure(c); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("a change takes %v, at most %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > limit {
		t.Errorf("a change takes %v", took[len(took)/2])
	}
	if s := f.engine.Stats().Servers; len(s) != many || !s[many-1].Alive {
		t.Errorf("%d servers", len(s))
	}
}
