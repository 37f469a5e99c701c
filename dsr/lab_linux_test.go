package dsr

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

// A bench is a client, three servers with the VIPs on their loopback, and an engine, all on one bridge.
type bench struct {
	t           *testing.T
	client, pen *testnet.Host
	servers     []*testnet.Host
	ifs         []string // of client, pen and the servers
	engine      *Engine
	config      Config
	log         *journal
	serverAddr  []netip.Addr
	serverAddr6 []netip.Addr
	clients     []netip.Addr
	vip, vip6   netip.Addr
}

const vip4, vip6 = "10.7.0.100", "fd07::100"

func newBench(t *testing.T, offload bool) *bench {
	t.Helper()
	testnet.Need(t, testnet.Root)
	l := testnet.New(t)
	b := &bench{t: t, client: l.Host("client"), pen: l.Host("pen"), log: &journal{t: t},
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
	if !offload {
		for i, h := range append([]*testnet.Host{b.client, b.pen}, b.servers...) {
			h.Offload(b.ifs[i], false, "tx", "tso", "gso", "gro")
		}
	}
	return b
}

// start runs an engine that forwards vips to all servers.
func (b *bench) start(c Config) {
	b.t.Helper()
	o := Options{Interface: b.ifs[1], Threads: 2, Batch: MaxBatch, Logf: b.log.printf}
	if err := b.pen.Do(func() (err error) { b.engine, err = Open(o); return }); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.pen.Do(b.engine.Run) }()
	b.t.Cleanup(func() {
		b.engine.Stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
		if err := b.engine.Close(); err != nil {
			b.t.Error(err)
		}
	})
	b.configure(c)
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

func offloads(t *testing.T, f func(t *testing.T, offload bool)) {
	for _, on := range []bool{true, false} {
		t.Run(map[bool]string{true: "offload", false: "plain"}[on], func(t *testing.T) { f(t, on) })
	}
}

func sayName(i int, c net.Conn) { fmt.Fprintf(c, "%d %v", i, c.RemoteAddr().(*net.TCPAddr).IP) }

func TestClientsAreSpreadAndSeen(t *testing.T) {
	offloads(t, func(t *testing.T, on bool) {
		b := newBench(t, on)
		at := netip.AddrPortFrom(b.vip, 80)
		b.serve(at, sayName)
		b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
		used := map[string]bool{}
		for _, from := range b.clients {
			first := b.name(from, at)
			if again := b.name(from, at); again != first {
				t.Errorf("%v: first %q, then %q", from, first, again)
			}
			server, client, _ := strings.Cut(first, " ")
			if client != from.String() {
				t.Errorf("server sees %s, want %v", client, from)
			}
			used[server] = true
		}
		if len(used) != 3 {
			t.Errorf("%d servers used, want 3", len(used))
		}
		s := b.engine.Stats()
		var packets uint64
		for _, sv := range s.Servers {
			packets += sv.Packets
		}
		if packets == 0 || packets != s.VIPs[0].Packets {
			t.Errorf("%d packets to servers, %d to the VIP", packets, s.VIPs[0].Packets)
		}
	})
}

// What goes up passes the engine; what comes down does not.
func TestTransfersBothWays(t *testing.T) {
	offloads(t, func(t *testing.T, on bool) {
		const size = 100 << 20
		b := newBench(t, on)
		at := netip.AddrPortFrom(b.vip, 80)
		b.serve(at, func(_ int, c net.Conn) {
			h := sha256.New()
			io.Copy(h, io.LimitReader(c, size))
			c.Write(h.Sum(nil))
			io.Copy(c, io.LimitReader(zeros{}, size))
		})
		b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
		c, err := b.dial(netip.Addr{}, at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(60 * time.Second))
		sum := sha256.New()
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.MultiWriter(c, sum), io.LimitReader(pattern(7), size))
			sent <- err
		}()
		var got [sha256.Size]byte
		if _, err := io.ReadFull(c, got[:]); err != nil {
			t.Fatalf("%v\n%+v", err, b.engine.Stats())
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[:], sum.Sum(nil)) {
			t.Error("what arrived is not what was sent")
		}
		up := b.engine.Stats().VIPs[0]
		if up.Bytes < size {
			t.Errorf("%d bytes up passed, want more than %d", up.Bytes, size)
		}
		if n, err := io.Copy(io.Discard, c); err != nil || n != size {
			t.Fatal(n, err)
		}
		for _, d := range b.engine.Stats().Drops {
			if d.Cause == "loop" {
				t.Errorf("%d frames of our own came back", d.Frames)
			}
		}
		// The answer costs acknowledgements only.
		if now := b.engine.Stats().VIPs[0]; now.Bytes-up.Bytes > size/10 {
			t.Errorf("%d bytes passed while the answer came", now.Bytes-up.Bytes)
		}
	})
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// pattern is an endless reader of bytes that differ.
type pattern byte

func (p pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i) * byte(p)
	}
	return len(b), nil
}

func TestIPv6(t *testing.T) {
	offloads(t, func(t *testing.T, on bool) {
		b := newBench(t, on)
		at := netip.AddrPortFrom(b.vip6, 80)
		b.serve(at, sayName)
		b.start(Config{VIPs: []VIP{{b.vip6, 80, Both}}, Servers: b.all(b.serverAddr6)})
		if got := b.name(netip.Addr{}, at); !strings.HasSuffix(got, " fd07::1") {
			t.Errorf("server says %q", got)
		}
	})
}

func TestUDP(t *testing.T) {
	offloads(t, func(t *testing.T, on bool) {
		b := newBench(t, on)
		at := netip.AddrPortFrom(b.vip, 53)
		for i, h := range b.servers {
			pc := h.ListenPacket("udp", at.String())
			go func() {
				room := make([]byte, 8192)
				for {
					n, from, err := pc.ReadFrom(room)
					if err != nil {
						return
					}
					pc.WriteTo(fmt.Appendf(nil, "%d %d", i, n), from)
				}
			}()
		}
		b.start(Config{VIPs: []VIP{{b.vip, 53, UDP}}, Servers: b.all(b.serverAddr), HashPort: true})
		used := map[byte]bool{}
		for range 20 {
			c, err := b.client.Dial("udp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			// The large ones are fragmented: all fragments go the same way, and the small ones after them too.
			var server byte
			for i, size := range []int{5000, 10, 4000, 1} {
				c.SetDeadline(time.Now().Add(5 * time.Second))
				c.Write(make([]byte, size))
				room := make([]byte, 100)
				n, err := c.Read(room)
				if err != nil {
					t.Fatalf("%d bytes: %v\n%+v", size, err, b.engine.Stats())
				}
				if want := fmt.Sprintf(" %d", size); string(room[1:n]) != want {
					t.Errorf("answer %q, want %q", room[1:n], want)
				}
				if i > 0 && room[0] != server {
					t.Errorf("server %c after %c", room[0], server)
				}
				server = room[0]
				used[server] = true
			}
			c.Close()
		}
		if len(used) == 0 {
			t.Error("no server used")
		}
	})
}

func TestOpenConnectionsStayWhenServersLeave(t *testing.T) {
	b := newBench(t, true)
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, func(i int, c net.Conn) {
		var one [1]byte
		for {
			if _, err := c.Read(one[:]); err != nil {
				return
			}
			c.Write([]byte{'0' + byte(i)})
		}
	})
	// All ports, so that the whole address is meant.
	config := Config{VIPs: []VIP{{b.vip, 0, TCP}}, Servers: b.all(b.serverAddr), HashPort: true}
	b.start(config)
	ask := func(c net.Conn) byte {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		var one [1]byte
		c.Write([]byte{'?'})
		if _, err := io.ReadFull(c, one[:]); err != nil {
			t.Fatalf("%v\n%+v", err, b.engine.Stats())
		}
		return one[0]
	}
	open := func() net.Conn {
		c, err := b.dial(netip.Addr{}, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var conns []net.Conn
	var at0 []byte
	for range 30 {
		c := open()
		conns, at0 = append(conns, c), append(at0, ask(c))
	}
	for _, n := range []int{2, 1} {
		config.Servers = config.Servers[:n]
		b.configure(config)
		for i, c := range conns {
			if now := ask(c); now != at0[i] {
				t.Fatalf("connection %d was at %c, is at %c", i, at0[i], now)
			}
		}
		for range 5 {
			if s := ask(open()); s >= '0'+byte(n) {
				t.Errorf("new connection at server %c, which has left", s)
			}
		}
	}
	config.Servers = nil
	b.configure(config)
	if c, err := b.client.DialContext(shortly(t), "tcp", at.String()); err == nil {
		c.Close()
		t.Error("connected without servers")
	}
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestDeadServerIsLeft(t *testing.T) {
	b := newBench(t, true)
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, sayName)
	b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
	victim := b.name(b.clients[0], at)[0]
	b.servers[victim-'0'].IP("link", "set", b.ifs[2+victim-'0'], "down")
	b.await("the server to be given up", func() bool { return !b.engine.Stats().Servers[victim-'0'].Alive })
	if now := b.name(b.clients[0], at)[0]; now == victim {
		t.Errorf("still at %c", now)
	}
	if want := "does not answer"; !strings.Contains(b.log.String(), want) {
		t.Errorf("nothing about it in the log: %s", b.log)
	}
	b.servers[victim-'0'].IP("link", "set", b.ifs[2+victim-'0'], "up")
	b.await("the server to be found again", func() bool { return b.engine.Stats().Servers[victim-'0'].Alive })
	if now := b.name(b.clients[0], at)[0]; now != victim {
		t.Errorf("at %c, want %c again", now, victim)
	}
}

func TestTarpit(t *testing.T) {
	offloads(t, func(t *testing.T, on bool) {
		b := newBench(t, on)
		lure := netip.MustParseAddr("10.7.0.200")
		b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr),
			Tarpit: func(a netip.Addr) bool { return a == lure || a == b.serverAddr[0] }})
		for range 2 {
			c, err := b.dial(netip.Addr{}, netip.AddrPortFrom(lure, 22))
			if err != nil {
				t.Fatalf("%v\n%+v", err, b.engine.Stats())
			}
			c.Write([]byte("anybody home?"))
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := c.Read(make([]byte, 10)); n > 0 || !strings.Contains(err.Error(), "timeout") {
				t.Errorf("the tarpit says %d bytes, %v", n, err)
			}
			c.Close()
		}
		if c, err := b.client.DialContext(shortly(t), "tcp", "10.7.0.201:22"); err == nil {
			c.Close()
			t.Error("somebody answers for an address that is not in the list")
		}
		log := b.log.String()
		if n := strings.Count(log, "tarpit: 10.7.0.1 connects to 10.7.0.200 port 22"); n != 1 {
			t.Errorf("reported %d times: %s", n, log)
		}
	})
}

func TestPing(t *testing.T) {
	b := newBench(t, true)
	b.start(Config{VIPs: []VIP{{b.vip, 0, TCP}, {b.vip6, 0, TCP}}, Servers: b.all(b.serverAddr)})
	pc := b.client.ListenPacket("ip4:icmp", "10.7.0.1")
	pc.SetDeadline(time.Now().Add(5 * time.Second))
	echo := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}
	binary.BigEndian.PutUint16(echo[2:], wire.Fold(wire.Sum(0, echo)))
	if _, err := pc.WriteTo(echo, &net.IPAddr{IP: b.vip.AsSlice()}); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 100)
	n, from, err := pc.ReadFrom(room)
	if err != nil || from.String() != vip4 || n != len(echo) || room[0] != 0 {
		t.Errorf("answer %x from %v, %v", room[:n], from, err)
	}
}

func TestFeatures(t *testing.T) {
	b := newBench(t, true)
	b.start(Config{})
	works, lacks := b.engine.Features()
	if diff := cmp.Diff([]string{"vnet_hdr", "ignore_outgoing", "filter", "fanout", "rcvbuf", "tcx_drop"}, works); diff != "" {
		t.Errorf("%s\nlacks %v", diff, lacks)
	}
}
