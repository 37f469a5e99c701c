package datagram

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// onEngines runs f once with each engine that can be had here.
func onEngines(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if a.OK {
			t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
		}
	}
}

// running is a Proxy on two loops, at addr.
type running struct {
	*Proxy
	t    *testing.T
	addr netip.AddrPort
}

func serve(t *testing.T, engine, listen string, servers []netip.AddrPort, set func(*settings.Settings)) *running {
	t.Helper()
	st := settings.Default()
	st.Rules.RoundRobin = true
	if set != nil {
		set(&st)
	}
	lists := new(acl.Table)
	log := sink.New(2, t.Logf)
	r := &running{t: t, Proxy: New(Config{MaxSocks: 40_000, Config: crew.Config{Settings: settings.NewStore(st),
		Servers: balance.New(lists), Clients: client.New(100), ACL: lists, Log: log,
		Debugf: func(int, string, ...any) {}, Logf: t.Logf, Dump: func([]byte) {}}})}
	for i, a := range servers {
		if err := r.Servers.Update(i, func(c *balance.Config) { c.Addr, c.Port = a.Addr(), a.Port() }); err != nil {
			t.Fatal(err)
		}
	}
	o := &sock.DatagramOptions{Bind: netip.MustParseAddrPort(listen), Buffer: 4 << 20, ReusePort: true, Coalesce: true}
	var listeners []*sock.DatagramSocket
	var loops []ring.Loop
	for range 2 {
		d, err := sock.ListenDatagram(o)
		if err != nil {
			t.Fatal(err)
		}
		a := d.Addr()
		r.addr, o.Bind = a.AddrPort, a.AddrPort
		l, err := ring.Open(engine, ring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.NewWorker(l).Listen(d); err != nil {
			t.Fatal(err)
		}
		listeners, loops = append(listeners, d), append(loops, l)
	}
	var wg sync.WaitGroup
	for _, l := range loops {
		wg.Go(func() {
			if err := l.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		for _, l := range loops {
			l.Stop()
		}
		wg.Wait()
		for _, d := range listeners {
			d.Close()
		}
		log.Close()
	})
	return r
}

// echo is a server at addr that answers with its name and what it got. It ends with the test, or when stop is called.
func echo(t *testing.T, addr, name string) (a netip.AddrPort, stop func()) {
	t.Helper()
	d, err := sock.ListenDatagram(&sock.DatagramOptions{Bind: netip.MustParseAddrPort(addr), Buffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.UDPConn()
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		n := copy(buf, name)
		for {
			k, from, err := c.ReadFromUDPAddrPort(buf[n:])
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n+k], from)
		}
	})
	stop = sync.OnceFunc(func() { c.Close(); wg.Wait() })
	t.Cleanup(stop)
	da := d.Addr()
	return da.AddrPort, stop
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func ask(t *testing.T, c *net.UDPConn, data []byte) string {
	t.Helper()
	got := make([]byte, 1<<16)
	c.Write(data)
	n, err := c.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(got[:n], data) {
		t.Fatalf("%d bytes came back for %d", n, len(data))
	}
	return string(got[:n-len(data)])
}

func TestRoundTrip(t *testing.T) {
	onEngines(t, func(t *testing.T, engine string) {
		for _, tt := range []struct{ name, listen, dial, server string }{
			{"4 to 4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1:0"},
			{"4 to 6", "127.0.0.1:0", "127.0.0.1", "[::1]:0"},
			{"6 to 4", "[::1]:0", "::1", "127.0.0.1:0"},
			{"6 to 6", "[::1]:0", "::1", "[::1]:0"},
			{"wildcard", "0.0.0.0:0", "127.0.0.9", "127.0.0.1:0"},
			{"wildcard of both", "[::]:0", "127.0.0.9", "[::1]:0"},
		} {
			for _, connected := range []bool{false, true} {
				t.Run(fmt.Sprint(tt.name, ", connected: ", connected), func(t *testing.T) {
					a, _ := echo(t, tt.server, "")
					r := serve(t, engine, tt.listen, []netip.AddrPort{a}, func(s *settings.Settings) { s.UDPConnected = connected })
					c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(tt.dial), r.addr.Port()))
					for _, n := range []int{5, 0, 1400, 65507 - 20, 1} {
						ask(t, c, bytes.Repeat([]byte{'x'}, n))
					}
					if n := r.Conns(); n != 1 {
						t.Errorf("%d sessions", n)
					}
				})
			}
		}
	})
}

// TestManySessions has 40,000 clients at a time with three servers, reached from one address. One socket speaks for
// all clients: it sends from another address of 127/8 for each.
func TestManySessions(t *testing.T) {
	const clients, window = 40_000, 250
	if n, err := sock.RaiseFileLimit(); err == nil && n < 20_000 {
		t.Skipf("needs 20000 descriptors, and gets %d", n)
	}
	if testing.Short() {
		t.Skip("40,000 clients take a while")
	}
	onEngines(t, func(t *testing.T, engine string) {
		if engine == "portable" {
			return // needs two descriptors for each socket, and 20,000 is what a process may have
		}
		var servers []netip.AddrPort
		for i := range 3 {
			a, _ := echo(t, "127.0.0.1:0", string(rune('a'+i)))
			servers = append(servers, a)
		}
		r := serve(t, engine, "127.0.0.1:0", servers, nil)
		c, err := sock.ListenDatagram(&sock.DatagramOptions{Bind: netip.MustParseAddrPort("0.0.0.0:0"), Buffer: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		reader, err := c.UDPConn() // to wait with
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		b, to := sock.NewBatch(), sock.EndpointOf(r.addr)
		homes := make([]byte, clients)
		for range 2 { // again, so that each meets its own session
			for first := 0; first < clients; first += window {
				data := make([]byte, 4*window)
				for i := range window {
					id := uint32(first + i)
					m := data[4*i : 4*i+4]
					binary.BigEndian.PutUint32(m, id)
					from := netip.AddrFrom4([4]byte{127, 1 + byte(id>>16), byte(id >> 8), byte(id)})
					b.Send(c.FD(), false, &sock.Datagram{Data: m, Remote: to, Local: sock.EndpointOf(netip.AddrPortFrom(from, 0))})
				}
				b.Flush()
				got := make([]byte, 100)
				for range window {
					reader.SetReadDeadline(time.Now().Add(patience))
					n, err := reader.Read(got)
					if err != nil || n != 5 {
						t.Fatalf("at %d: %d bytes, %v; %+v", first, n, err, r.Stats())
					}
					id := binary.BigEndian.Uint32(got[1:])
					if homes[id] == 0 {
						homes[id] = got[0]
					}
					if homes[id] != got[0] {
						t.Fatalf("client %d moved from %c to %c", id, homes[id], got[0])
					}
				}
			}
		}
		st := r.Stats()
		if st.Sessions != clients || st.Began != clients || st.Lost+st.Strays+st.Refused+st.Replaced != 0 {
			t.Errorf("%+v", st)
		}
		if st.UpSocks > clients/3*11/10 { // each loop has its own, and its clients are not spread evenly
			t.Errorf("%d sockets for %d sessions with 3 servers", st.UpSocks, clients)
		}
		for i := range servers {
			if n := r.Servers.Conns(i); n < clients/3-1 {
				t.Errorf("server %d has %d sessions", i, n)
			}
		}
	})
}

// TestServerDies kills one of three servers under load. Only what was on its way there may be lost.
func TestServerDies(t *testing.T) {
	onEngines(t, func(t *testing.T, engine string) {
		var servers []netip.AddrPort
		var kill func()
		for i := range 3 {
			a, stop := echo(t, "127.0.0.1:0", string(rune('a'+i)))
			if servers = append(servers, a); i == 1 {
				kill = stop
			}
		}
		r := serve(t, engine, "127.0.0.1:0", servers, nil)
		var lost atomic.Int64
		var wg sync.WaitGroup
		started := make(chan struct{}, 30)
		for range cap(started) {
			c := dial(t, r.addr)
			wg.Go(func() {
				for i := range 200 {
					m := fmt.Append(nil, "question ", i)
					got := make([]byte, 100)
					for try := 0; ; try++ {
						c.Write(m)
						c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
						if n, err := c.Read(got); err == nil && bytes.HasSuffix(got[:n], m) {
							break
						}
						if lost.Add(1); try == 5 {
							t.Errorf("%v: no answer", c.LocalAddr())
							return
						}
					}
					if i == 10 {
						started <- struct{}{}
					}
				}
			})
		}
		for range cap(started) {
			<-started
		}
		kill()
		wg.Wait()
		if r.Servers.Available(&r.Settings.Get().Rules, 1, time.Now().UnixNano()) {
			t.Error("the dead server is not blacklisted")
		}
		if n := lost.Load(); n > 60 {
			t.Errorf("%d questions were lost", n)
		}
	})
}

// TestTrainPasses sends a train as a sender with UDP_SEGMENT does. It arrives in one piece where that is wanted, and
// cut where it is not.
func TestTrainPasses(t *testing.T) {
	onEngines(t, func(t *testing.T, engine string) {
		for _, coalesce := range []bool{true, false} {
			t.Run(fmt.Sprint("server takes trains: ", coalesce), func(t *testing.T) {
				sv, err := sock.ListenDatagram(&sock.DatagramOptions{Bind: netip.MustParseAddrPort("127.0.0.1:0"), Buffer: 1 << 20, Coalesce: coalesce})
				if err != nil {
					t.Fatal(err)
				}
				defer sv.Close()
				a := sv.Addr()
				r := serve(t, engine, "127.0.0.1:0", []netip.AddrPort{a.AddrPort}, nil)
				cl, err := sock.ListenDatagram(&sock.DatagramOptions{Bind: netip.MustParseAddrPort("127.0.0.1:0"), Coalesce: true})
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				want := bytes.Repeat([]byte("0123456789"), 3050)
				b := sock.NewBatch()
				b.Send(cl.FD(), false, &sock.Datagram{Data: want, Segment: 1400, Remote: sock.EndpointOf(r.addr)})
				b.Flush()
				var got []byte
				pieces := 0
				for len(got) < len(want) {
					ds := recvSome(t, sv, b)
					for _, d := range ds {
						got = append(got, d.Data...)
						pieces++
					}
				}
				if !bytes.Equal(got, want) {
					t.Error("data differ")
				}
				if coalesce && pieces != 1 || !coalesce && pieces != 22 {
					t.Errorf("%d pieces", pieces)
				}
			})
		}
	})
}

// recvSome waits for datagrams on d.
func recvSome(t *testing.T, d *sock.DatagramSocket, b *sock.Batch) []sock.Datagram {
	t.Helper()
	c, err := d.UDPConn()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	var ds []sock.Datagram
	if err := raw.Read(func(uintptr) bool { ds, _ = b.Recv(d.FD(), 32); return len(ds) > 0 }); err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestResolver asks a name server through the proxy with the resolver of package net.
func TestResolver(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go answerNames(c)
	onEngines(t, func(t *testing.T, engine string) {
		r := serve(t, engine, "127.0.0.1:0", []netip.AddrPort{c.LocalAddr().(*net.UDPAddr).AddrPort()},
			func(s *settings.Settings) { s.UDPResponses = 1 })
		res := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", r.addr.String())
		}}
		for i := range 20 {
			got, err := res.LookupNetIP(t.Context(), "ip4", fmt.Sprintf("host%d.example.", i))
			if err != nil || len(got) != 1 || got[0] != netip.AddrFrom4([4]byte{1, 2, 3, 4}) {
				t.Fatal(got, err)
			}
		}
		if st := r.Stats(); st.Sessions != 0 || st.Began != 20 || st.UpSocks > 2 {
			t.Errorf("%+v", st)
		}
	})
}

// answerNames answers each question for an IPv4 address with 1.2.3.4; see RFC 1035, 4.1.
func answerNames(c *net.UDPConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		end := 12
		for end < n && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		end += 5
		if end > n {
			continue
		}
		m := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, buf[12:end]...)
		m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4)
		c.WriteToUDPAddrPort(m, from)
	}
}

// TestControlled looks at sessions, and ends them, from outside of the loops.
func TestControlled(t *testing.T) {
	onEngines(t, func(t *testing.T, engine string) {
		a, _ := echo(t, "127.0.0.1:0", "")
		r := serve(t, engine, "127.0.0.1:0", []netip.AddrPort{a}, nil)
		for range 5 {
			ask(t, dial(t, r.addr), []byte("hello"))
		}
		all := r.All()
		if len(all) != 5 || r.Conns() != 5 {
			t.Fatalf("%d sessions, counted %d", len(all), r.Conns())
		}
		for _, ci := range all {
			if got, ok := r.Conn(ci.Number); !ok || got != ci || ci.UpFD < 0 || ci.DownFD < 0 || ci.Server != 0 {
				t.Errorf("%+v, %v; want %+v", got, ok, ci)
			}
			if !r.CloseConn(ci.Number) || r.CloseConn(ci.Number) {
				t.Error("closed wrongly")
			}
		}
		for _, n := range []int{-1, 1000, math.MaxInt} {
			if _, ok := r.Conn(n); ok {
				t.Errorf("there is a session %d", n)
			}
		}
		r.Sync()
		if up, down := r.Servers.Traffic(0); up != 25 || down != 25 || r.Servers.Conns(0) != 0 {
			t.Errorf("traffic %d, %d; %d places taken", up, down, r.Servers.Conns(0))
		}
	})
}
