package datagram

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
)

// stage is a worker on a loop that the test drives, with servers 127.0.0.1:7001 and up, reached from 127.0.0.1.
type stage struct {
	t    *testing.T
	f    *ringtest.Fake
	p    *Proxy
	w    *Worker
	down ring.Sock

	dumped []string
}

func newStage(t *testing.T, servers int, set func(*settings.Settings)) *stage {
	t.Helper()
	st := settings.Default()
	st.Rules.RoundRobin = true
	if set != nil {
		set(&st)
	}
	log := sink.New(1, t.Logf)
	t.Cleanup(func() { log.Close() })
	lists := new(acl.Table)
	g := &stage{t: t, f: ringtest.NewFake(t, 1<<10)}
	g.p = New(Config{MaxSocks: 1000, Config: crew.Config{Settings: settings.NewStore(st), Servers: balance.New(lists),
		Clients: client.New(100), ACL: lists, Log: log, Debugf: func(int, string, ...any) {}, Logf: t.Logf,
		Dump: func(text []byte) { g.dumped = append(g.dumped, string(text)) }}})
	for i := range servers {
		if err := g.p.Servers.Update(i, func(c *balance.Config) { c.Addr, c.Port = netip.MustParseAddr("127.0.0.1"), serverPort(i) }); err != nil {
			t.Fatal(err)
		}
	}
	g.w = g.p.NewWorker(g.f)
	if err := g.w.Listen(nil); err != nil {
		t.Fatal(err)
	}
	g.down = g.w.listeners[0].sock
	return g
}

func serverPort(i int) uint16 { return uint16(7001 + i) }

func server(i int) sock.Endpoint {
	return sock.EndpointOf(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), serverPort(i)))
}

// ask has client i send data, and yields where it went: the up-socket and the server, or 0 and -1.
func (g *stage) ask(i int, data string) (ring.Sock, int) {
	g.t.Helper()
	g.f.Datagram(g.down, sock.Datagram{Data: []byte(data), Remote: peer(i)})
	sent := g.f.Transmitted()
	if len(sent) == 0 {
		return 0, -1
	}
	if len(sent) != 1 || string(sent[0].Data) != data {
		g.t.Fatalf("sent %v, want %q once", sent, data)
	}
	return sent[0].Sock, int(sent[0].Remote.AddrPort().Port()) - int(serverPort(0))
}

// answer has data come to up-socket s from server i, and yields the clients that got it.
func (g *stage) answer(s ring.Sock, i int, data string) (got []sock.Endpoint) {
	g.t.Helper()
	g.f.Datagram(s, sock.Datagram{Data: []byte(data), Remote: server(i)})
	for _, x := range g.f.Transmitted() {
		if x.Sock != g.down || string(x.Data) != data {
			g.t.Fatalf("sent %+v", x)
		}
		got = append(got, x.Remote)
	}
	return got
}

func (g *stage) wants(s ring.Sock, i, clientNo int) {
	g.t.Helper()
	if got := g.answer(s, i, "answer"); len(got) != 1 || got[0] != peer(clientNo) {
		g.t.Errorf("the answer for client %d went to %v", clientNo, got)
	}
}

// over ends all sessions and checks that nothing is left of them.
func (g *stage) over() {
	g.t.Helper()
	g.w.table.each(func(s *session) { g.w.end(s, "test") })
	if g.w.table.n != 0 || g.p.Conns() != 0 {
		g.t.Errorf("%d sessions left, counted %d", g.w.table.n, g.p.Conns())
	}
	for i := range g.p.Servers.Len() {
		if n := g.p.Servers.Conns(i); n != 0 {
			g.t.Errorf("%d places of server %d are taken", n, i)
		}
	}
	for i := range g.w.table.index {
		if n := g.w.table.index[i].n; n != 0 {
			g.t.Errorf("%d in index %d", n, i)
		}
	}
	for i, u := range g.w.ups {
		if u.sessions != 0 {
			g.t.Errorf("up-socket %d has %d sessions", i, u.sessions)
		}
	}
}

func TestSessions(t *testing.T) {
	g := newStage(t, 3, nil)
	type home struct {
		up     ring.Sock
		server int
	}
	homes := make([]home, 12)
	for i := range homes {
		up, sv := g.ask(i, fmt.Sprint("question ", i))
		homes[i] = home{up, sv}
	}
	if g.w.open != 4 {
		t.Errorf("%d up-sockets for 12 sessions with 3 servers, want 4", g.w.open)
	}
	for i, h := range homes { // in any number, each to its own client
		for range i % 3 {
			g.wants(h.up, h.server, i)
		}
		if up, sv := g.ask(i, "again"); (home{up, sv}) != h {
			t.Errorf("client %d moved from %v to %d, %d", i, h, up, sv)
		}
	}
	if got := g.answer(homes[0].up, 9, "who is this"); got != nil || g.w.stats.Strays != 1 {
		t.Errorf("an answer from nobody went to %v; %d strays", got, g.w.stats.Strays)
	}
	if n := g.p.Servers.Conns(1); n != 4 {
		t.Errorf("server 1 has %d sessions, want 4", n)
	}
	g.over()
}

func TestZeroLengthAndTrains(t *testing.T) {
	g := newStage(t, 1, nil)
	up, sv := g.ask(1, "")
	if up == 0 || len(g.answer(up, sv, "")) != 1 {
		t.Error("a datagram without data was lost")
	}
	g.f.Datagram(g.down, sock.Datagram{Data: make([]byte, 2500), Segment: 1000, Remote: peer(1)})
	if sent := g.f.Transmitted(); len(sent) != 1 || sent[0].Segment != 1000 || len(sent[0].Data) != 2500 {
		t.Errorf("the train was taken apart: %v", sent)
	}
	g.over()
}

func TestDump(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*settings.Settings)
		wants []string
	}{
		{"twice -d", func(s *settings.Settings) { s.Debug = 2 }, nil},
		{"hexadecimal", func(s *settings.Settings) { s.Debug = 3 }, []string{"2: 68 69 \n", "3: 6f 6b 00 \n", "0: \n"}},
		{"text", func(s *settings.Settings) { s.Debug, s.ASCII = 3, true }, []string{"2: hi\n", "3: ok.\n", "0: \n"}},
		{"without sessions", func(s *settings.Settings) { s.Debug, s.UDPNoSession = 3, true }, []string{"2: 68 69 \n", "0: \n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newStage(t, 1, tt.set)
			up, sv := g.ask(1, "hi")
			g.answer(up, sv, "ok\x00")
			g.f.Datagram(up, sock.Datagram{Data: []byte("stray"), Remote: peer(9)})
			g.ask(1, "")
			if d := cmp.Diff(tt.wants, g.dumped); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			g.over()
		})
	}
}

func TestIdle(t *testing.T) {
	g := newStage(t, 2, func(s *settings.Settings) { s.UDPTimeout = 10 * time.Second })
	old, sv := g.ask(1, "x")
	g.ask(2, "x")
	for range 12 {
		g.f.Advance(time.Second)
		g.ask(2, "x")
	}
	if got := g.answer(old, sv, "late"); got != nil || g.p.Conns() != 1 {
		t.Errorf("a late answer went to %v; %d sessions", got, g.p.Conns())
	}
	g.f.Advance(12 * time.Second)
	if n := g.p.Conns(); n != 0 {
		t.Errorf("%d sessions", n)
	}
	if n := g.f.Stats().Timers; n != 0 {
		t.Errorf("%d timers without a session", n)
	}
	g.over()
}

func TestReplacesTheOldest(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*settings.Settings)
	}{
		{"udp_sessions_max", func(s *settings.Settings) { s.UDPSessionsMax = 3 }},
		{"-x", func(s *settings.Settings) { s.ConnMax, s.ConnMaxHard = 3, true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newStage(t, 1, tt.set)
			for i := range 3 {
				g.ask(i, "x")
				g.f.Advance(time.Millisecond)
			}
			g.ask(0, "x")
			for i := 3; i < 20; i++ {
				if up, _ := g.ask(i, "x"); up == 0 {
					t.Fatalf("client %d was refused", i)
				}
			}
			if n := g.p.Conns(); n != 3 || g.w.stats.Replaced != 17 {
				t.Errorf("%d sessions, %d replaced", n, g.w.stats.Replaced)
			}
			g.over()
		})
	}
}

// TestOutOfSockets has the sockets run out before the sessions do: the oldest of the same server makes room.
func TestOutOfSockets(t *testing.T) {
	g := newStage(t, 2, nil)
	g.p.MaxSocks = 5
	g.p.Settings.Update(func(s *settings.Settings) { s.UDPSessionsMax = 100 })
	for i := range 30 {
		up, sv := g.ask(i, "x")
		if up == 0 {
			t.Fatalf("client %d was refused", i)
		}
		g.wants(up, sv, i)
	}
	if n := g.p.Conns(); n != 10 || g.w.open != 5 {
		t.Errorf("%d sessions on %d sockets", n, g.w.open)
	}
	n := 0
	g.f.ConnectError = func(*sock.Addr, *sock.Options) error { n++; return syscall.EMFILE }
	g.p.MaxSocks = 6
	if up, _ := g.ask(100, "x"); up == 0 || n != 1 {
		t.Errorf("refused, after %d tries", n)
	}
	g.over()
}

// TestOutOfSocketsForOther has a server of the other family come when all sockets are in use: some are closed for it.
func TestOutOfSocketsForOther(t *testing.T) {
	g := newStage(t, 2, nil)
	g.p.MaxSocks = 4
	g.p.Settings.Update(func(s *settings.Settings) { s.UDPSessionsMax = 100 })
	for i := range 20 {
		g.ask(i, "x")
	}
	g.p.Servers.Update(1, func(c *balance.Config) { c.Addr = netip.IPv6Loopback() })
	for i := 100; i < 140; i++ {
		if i == 120 {
			g.p.Settings.Update(func(s *settings.Settings) { s.UDPConnected = true })
		}
		g.f.Datagram(g.down, sock.Datagram{Data: []byte("x"), Remote: peer(i)})
		sent := g.f.Transmitted()
		if len(sent) != 1 {
			t.Fatalf("client %d was refused", i)
		}
		from := sent[0].Remote
		if !from.IsValid() {
			from = sock.EndpointOf(g.f.Peer(sent[0].Sock))
		}
		g.f.Datagram(sent[0].Sock, sock.Datagram{Data: []byte("y"), Remote: from})
		if sent := g.f.Transmitted(); len(sent) != 1 || sent[0].Remote != peer(i) {
			t.Fatalf("the answer for client %d: %+v", i, sent)
		}
		if i%7 == 0 {
			g.f.Settle() // before that, sockets are closing
		}
	}
	if g.w.open > 4 {
		t.Errorf("%d sockets are open, want 4 at most", g.w.open)
	}
	g.over()
	g.f.Settle()
	if n := g.f.Stats().Socks - 1; n != g.w.open {
		t.Errorf("%d sockets are open, counted %d", n, g.w.open)
	}
}

func TestMovesFromBlacklisted(t *testing.T) {
	g := newStage(t, 3, nil)
	up, sv := g.ask(1, "x")
	rules := &g.p.Settings.Get().Rules
	g.p.Servers.SetBlacklist(rules, sv, time.Minute, g.w.now())
	up2, sv2 := g.ask(1, "y")
	if sv2 == sv || up2 == 0 {
		t.Fatalf("still on server %d", sv2)
	}
	if got := g.answer(up, sv, "late"); got != nil {
		t.Errorf("the old server's answer went to %v", got)
	}
	g.wants(up2, sv2, 1)
	for i := range 3 {
		g.p.Servers.SetBlacklist(rules, i, time.Minute, g.w.now())
	}
	if up, sv := g.ask(1, "z"); up != 0 || g.p.Conns() != 0 || g.w.stats.Refused != 1 {
		t.Errorf("sent to %d, %d sessions", sv, g.p.Conns())
	}
	g.p.Servers.SetBlacklist(rules, 2, 0, g.w.now())
	if _, sv := g.ask(1, "z"); sv != 2 {
		t.Errorf("sent to %d, want 2", sv)
	}
	g.over()
}

func TestMovesWithTheServer(t *testing.T) {
	g := newStage(t, 1, nil)
	g.ask(1, "x")
	g.p.Servers.Update(0, func(c *balance.Config) { c.Port = serverPort(5) })
	if _, sv := g.ask(1, "x"); sv != 5 {
		t.Errorf("sent to the old address, %d", sv)
	}
	g.over()
}

func TestUnreachable(t *testing.T) {
	g := newStage(t, 2, nil)
	up, sv := g.ask(1, "x")
	news := func(i int) { g.f.Datagram(up, sock.Datagram{Remote: server(i), Err: syscall.ECONNREFUSED}) }
	news(sv)
	up, sv2 := g.ask(1, "x")
	if sv2 == sv {
		t.Fatal("the session stays with a dead server")
	}
	news(sv2)
	if up2, sv3 := g.ask(1, "x"); sv3 != sv2 || up2 != up {
		t.Errorf("the last server was blacklisted: moved to %d", sv3)
	}
	g.over()
}

func TestSilence(t *testing.T) {
	g := newStage(t, 2, func(s *settings.Settings) { s.UDPReplyTimeout = 100 * time.Millisecond })
	up, sv := g.ask(1, "x")
	g.f.Advance(90 * time.Millisecond)
	g.wants(up, sv, 1)
	g.f.Advance(200 * time.Millisecond) // nobody asked since
	if _, now := g.ask(1, "x"); now != sv {
		t.Fatal("blacklisted although it answers")
	}
	g.f.Advance(130 * time.Millisecond)
	if _, now := g.ask(1, "x"); now == sv {
		t.Fatal("the silent server is still asked")
	}
	g.f.Advance(time.Second) // the last one is silent as well
	if _, now := g.ask(1, "x"); now == -1 {
		t.Error("the last server was blacklisted")
	}
	g.over()
}

func TestResponses(t *testing.T) {
	g := newStage(t, 1, func(s *settings.Settings) { s.UDPResponses = 2 })
	up, sv := g.ask(1, "x")
	g.wants(up, sv, 1)
	g.wants(up, sv, 1)
	if got := g.answer(up, sv, "too many"); got != nil || g.p.Conns() != 0 {
		t.Errorf("a third answer went to %v; %d sessions", got, g.p.Conns())
	}
	// A client that asks again before it is answered, as resolvers do, waits for as many answers more.
	up, sv = g.ask(1, "x")
	g.ask(1, "y")
	for range 4 {
		g.wants(up, sv, 1)
	}
	if n := g.p.Conns(); n != 0 {
		t.Errorf("%d sessions after all answers", n)
	}
	// What the old server has not answered is not waited for.
	g.p.Servers.Update(0, func(c *balance.Config) { c.Port = serverPort(3) })
	g.ask(2, "x")
	g.p.Servers.Update(0, func(c *balance.Config) { c.Port = serverPort(0) })
	up, sv = g.ask(2, "x")
	g.wants(up, sv, 2)
	g.wants(up, sv, 2)
	if n := g.p.Conns(); n != 0 {
		t.Errorf("%d sessions after a move", n)
	}
	g.over()
}

func TestNoSession(t *testing.T) {
	g := newStage(t, 2, func(s *settings.Settings) { s.UDPNoSession = true })
	got := map[int]int{}
	var up ring.Sock
	for i := range 6 {
		var sv int
		up, sv = g.ask(i, "x")
		got[sv]++
	}
	if got[0] != 3 || got[1] != 3 || g.w.open != 1 || g.p.Conns() != 0 {
		t.Errorf("sent %v by %d sockets in %d sessions", got, g.w.open, g.p.Conns())
	}
	if to := g.answer(up, 0, "answer"); to != nil {
		t.Errorf("an answer went to %v", to)
	}
	if sx, _ := g.p.Servers.Traffic(0); sx != 3 {
		t.Errorf("%d bytes to server 0", sx)
	}
	g.over()
}

func TestConnected(t *testing.T) {
	g := newStage(t, 2, func(s *settings.Settings) { s.UDPConnected = true })
	for i := range 4 {
		g.f.Datagram(g.down, sock.Datagram{Data: []byte("x"), Remote: peer(i)})
		sent := g.f.Transmitted()
		to := sock.EndpointOf(g.f.Peer(sent[0].Sock))
		if len(sent) != 1 || sent[0].Remote.IsValid() || to.AddrPort().Port() < serverPort(0) {
			t.Fatalf("%+v", sent)
		}
		g.wants(sent[0].Sock, int(to.AddrPort().Port()-serverPort(0)), i)
	}
	if g.w.open != 4 {
		t.Errorf("%d sockets for 4 sessions", g.w.open)
	}
	g.over()
	g.f.Settle()
	if n := g.f.Stats().Socks; n != 1 || len(g.w.freeUps) != 4 {
		t.Errorf("%d sockets are open", n)
	}
}

// TestShrinks: the sockets of a flood are closed when it is over, and none of them is used afterwards.
func TestShrinks(t *testing.T) {
	g := newStage(t, 1, func(s *settings.Settings) { s.UDPTimeout = 5 * time.Second })
	for i := range 200 {
		g.ask(i, "x")
	}
	g.f.Advance(10 * time.Second)
	g.f.Settle()
	if g.w.open != keepUps {
		t.Fatalf("%d up-sockets left, want %d", g.w.open, keepUps)
	}
	for i := range 200 {
		up, sv := g.ask(i, "x")
		g.wants(up, sv, i)
	}
	if g.w.open != 200 || len(g.w.ups) != 200 {
		t.Errorf("%d up-sockets, %d places", g.w.open, len(g.w.ups))
	}
	g.over()
}

func TestTraffic(t *testing.T) {
	g := newStage(t, 1, nil)
	for i := range 3 {
		up, sv := g.ask(i, "12345")
		g.answer(up, sv, "123")
		g.w.flush()
		g.f.Advance(time.Millisecond)
		g.ask(i, "12345")
		g.w.flush()
	}
	if up, down := g.p.Servers.Traffic(0); up != 30 || down != 9 {
		t.Errorf("traffic %d, %d; want 30, 9", up, down)
	}
	g.ask(0, "1")
	g.over()
	if up, down := g.p.Servers.Traffic(0); up != 31 || down != 9 {
		t.Errorf("traffic %d, %d; want 31, 9", up, down)
	}
}

func TestTracking(t *testing.T) {
	g := newStage(t, 3, func(s *settings.Settings) { s.Rules.RoundRobin = false })
	addr := netip.MustParseAddr("10.1.1.1")
	ask := func(port uint16) int {
		g.f.Datagram(g.down, sock.Datagram{Data: []byte("x"), Remote: sock.EndpointOf(netip.AddrPortFrom(addr, port))})
		return int(g.f.Transmitted()[0].Remote.AddrPort().Port())
	}
	home := ask(1)
	for port := range uint16(5) {
		if got := ask(port + 2); got != home {
			t.Errorf("port %d went to %d, want %d", port, got, home)
		}
	}
	g.over()
}

// TestUnlisten: sessions end with the address that they were answered from.
func TestUnlisten(t *testing.T) {
	g := newStage(t, 1, nil)
	g.ask(1, "x")
	detached := false
	g.w.listeners[0].src = openListener(t)
	g.w.Unlisten(g.w.listeners[0].src, func() { detached = true })
	g.f.Settle()
	if !detached || g.p.Conns() != 0 {
		t.Errorf("detached: %v, %d sessions", detached, g.p.Conns())
	}
	g.over()
}

func openListener(t *testing.T) *sock.DatagramSocket {
	d, err := sock.ListenDatagram(&sock.DatagramOptions{Bind: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestAllocatesNothing(t *testing.T) {
	g := newStage(t, 2, func(s *settings.Settings) { s.Rules.RoundRobin = true; s.UDPResponses = 1 })
	d := sock.Datagram{Data: []byte("x"), Remote: peer(1)}
	l := &quietLoop{Fake: g.f}
	g.w.loop = l
	st := g.p.Settings.Get()
	if n := testing.AllocsPerRun(1000, func() {
		g.w.fromClient(g.w.listeners[0], &d, st)
		a := sock.Datagram{Data: d.Data, Remote: l.to}
		for i := range g.w.ups {
			g.w.fromServer(int32(i), &a, st)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if g.p.Conns() != 0 {
		t.Errorf("%d sessions", g.p.Conns())
	}
}

// quietLoop records nothing.
type quietLoop struct {
	*ringtest.Fake
	to sock.Endpoint
}

func (l *quietLoop) Transmit(_ ring.Sock, d *sock.Datagram) {
	if p := d.Remote.AddrPort().Port(); p >= serverPort(0) && p < serverPort(9) {
		l.to = d.Remote
	}
}
