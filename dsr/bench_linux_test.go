package dsr

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// A bench is a client, three servers with the VIPs on their loopback, and an engine, all on one bridge.
type bench struct {
	t           *testing.T
	client, pen *testnet.Host
	servers     []*testnet.Host
	ifs         []string // of client, pen and the servers
	engine      *Engine
	stop        func()
	config      Config
	mode        Mode
	pin         string
	classic     bool
	log         *journal
	announce    bool
	serverAddr  []netip.Addr
	serverAddr6 []netip.Addr
	clients     []netip.Addr
	vip, vip6   netip.Addr
}

const vip4, vip6 = "10.7.0.100", "fd07::100"

// A setting is what most tests are run with: whether checksums and segmentation are left to the receiver, and who
// forwards.
type setting struct {
	offload bool
	mode    Mode
}

var usual = setting{true, Packet}

func newBench(t *testing.T, on setting) *bench {
	t.Helper()
	testnet.Need(t, testnet.Root)
	l := testnet.New(t)
	b := &bench{t: t, client: l.Host("client"), pen: l.Host("pen"), log: &journal{t: t}, mode: on.mode,
		vip: netip.MustParseAddr(vip4), vip6: netip.MustParseAddr(vip6)}
	cidr := "10.7.0.1/24 fd07::1/64"
	for i := 10; i < 30; i++ {
		cidr += fmt.Sprintf(" 10.7.0.%d/24", i)
		b.clients = append(b.clients, netip.MustParseAddr(fmt.Sprintf("10.7.0.%d", i)))
	}
	ports := []testnet.Port{{Host: b.client, CIDR: cidr}, {Host: b.pen, CIDR: "10.7.0.2/24 fd07::2/64"}}
	for i := range 3 {
		h := l.Host(fmt.Sprintf("server%d", i))
		b.servers = append(b.servers, h)
		b.serverAddr = append(b.serverAddr, netip.MustParseAddr(fmt.Sprintf("10.7.0.%d", 3+i)))
		b.serverAddr6 = append(b.serverAddr6, netip.MustParseAddr(fmt.Sprintf("fd07::%d", 3+i)))
		ports = append(ports, testnet.Port{Host: h, CIDR: fmt.Sprintf("%v/24 %v/64", b.serverAddr[i], b.serverAddr6[i])})
		h.SetSysctl("net.ipv4.conf.all.arp_ignore", "1")
		h.SetSysctl("net.ipv4.conf.all.arp_announce", "2")
		h.IP("addr", "add", vip4+"/32", "dev", "lo")
		h.IP("addr", "add", vip6+"/128", "dev", "lo", "nodad")
	}
	b.ifs = l.Bridge("switch", ports...)
	if !on.offload {
		for i, h := range append([]*testnet.Host{b.client, b.pen}, b.servers...) {
			h.Offload(b.ifs[i], false, "tx", "tso", "gso", "gro")
		}
	}
	return b
}

// start runs an engine that forwards vips to all servers.
func (b *bench) start(c Config) {
	b.t.Helper()
	o := Options{Interface: b.ifs[1], Threads: 2, Batch: MaxBatch, Announce: b.announce, Mode: b.mode, Pin: b.pin,
		Logf: b.log.printf, classic: b.classic}
	if err := b.pen.Do(func() (err error) { b.engine, err = Open(o); return }); err != nil {
		b.t.Fatal(err)
	}
	e, done := b.engine, make(chan error, 1)
	go func() { done <- b.pen.Do(e.Run) }()
	b.stop = sync.OnceFunc(func() {
		e.Stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
		if err := e.Close(); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.stop)
	b.configure(c)
	if m := b.engine.Mode(); m != b.mode {
		b.t.Fatalf("forwarded by %s, want %s", m, b.mode)
	}
}

func (b *bench) configure(c Config) {
	b.t.Helper()
	b.config = c
	if err := b.pen.Do(func() error { return b.engine.Configure(c) }); err != nil {
		b.t.Fatal(err)
	}
	b.await("servers to be found", func() bool {
		alive := 0
		for _, s := range b.engine.Stats().Servers {
			if s.Alive && s.Chosen {
				alive++
			}
		}
		return alive == len(c.Servers)
	})
}

func (b *bench) await(what string, ok func() bool) {
	b.t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			b.t.Fatalf("still waiting for %s\n%s\n%+v", what, b.log, b.engine.Stats())
		}
	}
}

func (b *bench) all(addrs []netip.Addr) (list []Server) {
	for i, a := range addrs {
		list = append(list, Server{Addr: a, ID: i})
	}
	return list
}

// serve runs f for each connection to port of addr on every server, with the server's number.
func (b *bench) serve(addr netip.AddrPort, f func(i int, c net.Conn)) {
	for i, h := range b.servers {
		testnet.Serve(b.t, h.Listen("tcp", addr.String()), func(_ context.Context, c *net.TCPConn) { f(i, c) })
	}
}

// dial connects to addr from the client, from the address given if it is valid.
func (b *bench) dial(from netip.Addr, addr netip.AddrPort) (net.Conn, error) {
	var c net.Conn
	err := b.client.Do(func() (err error) {
		d := net.Dialer{Timeout: 3 * time.Second}
		if from.IsValid() {
			d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
		}
		c, err = d.DialContext(b.t.Context(), "tcp", addr.String())
		return err
	})
	return c, err
}

// name is what the server that answers a connection says.
func (b *bench) name(from netip.Addr, addr netip.AddrPort) string {
	b.t.Helper()
	c, err := b.dial(from, addr)
	if err != nil {
		b.t.Fatalf("%v\n%s\n%+v", err, b.log, b.engine.Stats())
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	text, err := io.ReadAll(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// journal keeps what was logged.
type journal struct {
	t  *testing.T
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) printf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.b, format+"\n", args...)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}
