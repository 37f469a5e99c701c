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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
)

func settings(t *testing.T, f func(t *testing.T, on setting)) {
	for _, on := range []setting{{true, Packet}, {false, Packet}, {true, TC}, {true, XDPGeneric}} {
		t.Run(map[bool]string{true: "offload", false: "plain"}[on.offload]+"/"+string(on.mode), func(t *testing.T) { f(t, on) })
	}
}

func sayName(i int, c net.Conn) { fmt.Fprintf(c, "%d %v", i, c.RemoteAddr().(*net.TCPAddr).IP) }

func TestClientsAreSpreadAndSeen(t *testing.T) {
	settings(t, func(t *testing.T, on setting) {
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
		// The last packets of the clients may still be on their way.
		var s Stats
		var packets uint64
		for range 200 {
			s, packets = b.engine.Stats(), 0
			for _, sv := range s.Servers {
				packets += sv.Packets
			}
			if packets > 0 && packets == s.VIPs[0].Packets {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if packets == 0 || packets != s.VIPs[0].Packets {
			t.Errorf("%d packets to servers, %d to the VIP", packets, s.VIPs[0].Packets)
		}
	})
}

// What goes up passes the engine; what comes down does not.
func TestTransfersBothWays(t *testing.T) {
	settings(t, func(t *testing.T, on setting) {
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
	settings(t, func(t *testing.T, on setting) {
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
	settings(t, func(t *testing.T, on setting) {
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
	settings(t, func(t *testing.T, on setting) {
		b := newBench(t, on)
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
	})
}

func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestDeadServerIsLeft(t *testing.T) {
	b := newBench(t, usual)
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
	settings(t, func(t *testing.T, on setting) {
		b := newBench(t, on)
		lure, lure6 := netip.MustParseAddr("10.7.0.200"), netip.MustParseAddr("fd07::200")
		b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr),
			Tarpit: func(a netip.Addr) bool { return a == lure || a == lure6 || a == b.serverAddr[0] }, Tarpit6: true})
		for _, lure := range []netip.Addr{lure, lure6, lure} {
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
		for _, addr := range []string{"10.7.0.201:22", "[fd07::201]:22"} {
			if c, err := b.client.DialContext(shortly(t), "tcp", addr); err == nil {
				c.Close()
				t.Errorf("somebody answers for %s, which is not in the list", addr)
			}
		}
		log := b.log.String()
		if n := strings.Count(log, "tarpit: 10.7.0.1 connects to 10.7.0.200 port 22"); n != 1 {
			t.Errorf("reported %d times: %s", n, log)
		}
	})
}

func TestPing(t *testing.T) {
	settings(t, func(t *testing.T, on setting) {
		b := newBench(t, on)
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
	})
}

func TestFeatures(t *testing.T) {
	b := newBench(t, usual)
	b.start(Config{})
	works, lacks := b.engine.Features()
	if diff := cmp.Diff([]string{"vnet_hdr", "ignore_outgoing", "filter", "fanout", "rcvbuf", "tcx_drop"}, works); diff != "" {
		t.Errorf("%s\nlacks %v", diff, lacks)
	}
}

// What the administrator has told the kernel about servers is believed, and they are not asked.
func TestPermanentNeighbours(t *testing.T) {
	b := newBench(t, usual)
	macs := map[wire.Addr]wire.MAC{}
	for i, addr := range append(b.serverAddr[:1:1], b.serverAddr6[1]) {
		mac := wire.MAC{2, 0, 0, 0, 7, byte(i)}
		macs[wire.AddrFrom(addr)] = mac
		b.pen.IP("neigh", "add", addr.String(), "lladdr", mac.String(), "dev", b.ifs[1], "nud", "permanent")
	}
	b.pen.IP("neigh", "add", b.serverAddr[2].String(), "lladdr", "02:00:00:00:07:09", "dev", b.ifs[1], "nud", "stale")
	b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all([]netip.Addr{b.serverAddr[0], b.serverAddr6[1], b.serverAddr[2]})})
	for _, s := range b.engine.Stats().Servers {
		a := wire.AddrFrom(s.Addr)
		if want, ok := macs[a]; ok != (s.MAC == want) {
			t.Errorf("%v is at %v, told %v %v", s.Addr, s.MAC, ok, want)
		}
	}
}

// An interface that was down carries on.
func TestInterfaceGoesDownAndUp(t *testing.T) {
	b := newBench(t, usual)
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, sayName)
	b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
	before := b.name(b.clients[0], at)
	b.pen.IP("link", "set", b.ifs[1], "down")
	b.await("the log to tell", func() bool { return strings.Contains(b.log.String(), b.ifs[1]+" is down") })
	b.pen.IP("link", "set", b.ifs[1], "up")
	b.await("the way to be open again", func() bool {
		c, err := b.client.DialContext(shortly(t), "tcp", at.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if now := b.name(b.clients[0], at); now != before {
		t.Errorf("%q, was %q", now, before)
	}
}

// Who had the address before learns at once who has it now.
func TestAnnouncement(t *testing.T) {
	b := newBench(t, usual)
	b.client.IP("neigh", "add", vip4, "lladdr", "02:00:00:00:07:09", "dev", b.ifs[0], "nud", "stale")
	b.announce = true
	b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
	b.await("the client to learn", func() bool {
		out, err := b.client.Exec("ip", "neigh", "show", vip4).CombinedOutput()
		return err == nil && strings.Contains(string(out), b.engine.nic.mac().String())
	})
}

// The program behind the sockets drops what is forwarded, and nothing else.
func TestTapDrop(t *testing.T) {
	b := newBench(t, usual)
	var drop *tapDrop
	if err := b.pen.Do(func() (err error) {
		ifi, err := net.InterfaceByName(b.ifs[1])
		if err == nil {
			drop, err = openTapDrop(ifi.Index)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer drop.close()
	vips := []VIP{{web.Netip(), 80, TCP}, {dns.Netip(), 53, UDP}, {web6.Netip(), 80, TCP}}
	mine := ip("10.9.200.9") // this machine has it too
	vips = append(vips, VIP{mine.Netip(), 80, TCP})
	if err := drop.set(dropKeys(append(vips, VIP{lure.Netip(), 0, Both}), []wire.Addr{mine})); err != nil {
		t.Fatal(err)
	}
	if err := drop.set(dropKeys(vips, []wire.Addr{mine})); err != nil { // lure is gone
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"what is forwarded", segment(client, web, 1, 80, 0), true},
		{"what is not, to a virtual address", segment(client, web, 1, 22, 0), true},
		{"UDP", datagram(client, dns, 1, 53), true},
		{"IPv6", segment(client6, web6, 1, 80, 0), true},
		{"an address no longer virtual", segment(client, lure, 1, 80, 0), false},
		{"our address, the port that is forwarded", segment(client, mine, 1, 80, 0), true},
		{"our address, another port", segment(client, mine, 1, 22, 0), false},
		{"our address, UDP", datagram(client, mine, 1, 80), false},
		{"our address, a later fragment", fragmented(segment(client, mine, 1, 80, 0), 1, 5, false), false},
		{"another address", segment(client, router, 1, 80, 0), false},
		{"another IPv6 address", segment(client6, client6, 1, 80, 0), false},
		{"ARP", request(clientMAC, client, web), false},
	}
	if verdict, _, err := drop.prog.Test(segment(client, web, 1, 80, 0)); err != nil || verdict == tcxDrop {
		t.Errorf("a frame to another machine: verdict %d, %v", int32(verdict), err)
	}
	for _, tt := range tests {
		wire.Ethernet(tt.frame).SetDst(wire.MAC{}) // a test run is on the loopback, whose address that is
		verdict, _, err := drop.prog.Test(tt.frame)
		if err != nil {
			t.Fatal(err)
		}
		if (verdict == tcxDrop) != tt.want {
			t.Errorf("%s: verdict %d", tt.name, int32(verdict))
		}
	}
}
