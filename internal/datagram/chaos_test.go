package datagram

import (
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// TestChaos does everything at random that clients, servers, time and operators can do. An answer reaches the client
// that its pair of up-socket and server was last used for, or nobody; and at the end nothing is left.
func TestChaos(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		const clients, servers = 12, 4
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		g := newStage(outer, servers, func(s *settings.Settings) {
			s.Rules.RoundRobin = rapid.Bool().Draw(t, "round robin")
			s.UDPConnected = rapid.Bool().Draw(t, "connected")
			s.UDPSessionsMax = rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "sessions")
			s.UDPResponses = rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "responses")
			s.UDPReplyTimeout = time.Duration(rapid.SampledFrom([]int{0, 50}).Draw(t, "silence")) * time.Millisecond
			s.UDPTimeout = 2 * time.Second
			s.Rules.Blacklist = time.Second
		})
		g.p.MaxSocks = rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "sockets")
		type pair struct {
			up     ring.Sock
			server sock.Endpoint
		}
		var asked []pair
		users := map[pair]string{} // the client that the pair was last used for
		open := func(s ring.Sock) bool { return g.f.IsPending(s, ring.OpReceive) && !g.f.IsPending(s, ring.OpClose) }
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch rnd.IntN(11) {
			case 0, 1, 2, 3:
				i := rnd.IntN(clients)
				g.f.Datagram(g.down, sock.Datagram{Data: []byte(strconv.Itoa(i)), Remote: peer(i)})
				for _, x := range g.f.Transmitted() {
					p := pair{x.Sock, x.Remote}
					if !p.server.IsValid() {
						p.server = sock.EndpointOf(g.f.Peer(x.Sock))
					}
					asked = append(asked, p)
					users[p] = string(x.Data)
				}
			case 4, 5, 6:
				if len(asked) == 0 {
					continue
				}
				p := asked[rnd.IntN(len(asked))]
				if !open(p.up) {
					continue
				}
				d := sock.Datagram{Data: []byte("answer"), Remote: p.server}
				if rnd.IntN(5) == 0 {
					d = sock.Datagram{Remote: p.server, Err: syscall.ECONNREFUSED}
				}
				g.f.Datagram(p.up, d)
				for _, y := range g.f.Transmitted() {
					if i, _ := strconv.Atoi(users[p]); y.Remote != peer(i) {
						outer.Fatalf("an answer for client %d went to %v", i, y.Remote.AddrPort())
					}
				}
			case 7:
				g.f.Advance(time.Duration(rnd.IntN(800)) * time.Millisecond)
			case 8:
				g.p.Servers.SetBlacklist(&g.p.Settings.Get().Rules, rnd.IntN(servers), time.Duration(rnd.IntN(2))*time.Second, g.w.now())
			case 9:
				g.f.Settle()
				g.w.flush()
			case 10:
				if rnd.IntN(20) == 0 {
					g.p.Settings.Update(func(s *settings.Settings) { s.UDPConnected = !s.UDPConnected })
				}
			}
			if most := g.p.Settings.Get().UDPSessionsMax; most > 0 && g.p.Conns() > most || g.w.open > g.p.MaxSocks {
				outer.Fatalf("%d sessions on %d sockets", g.p.Conns(), g.w.open)
			}
		}
		g.over()
		g.f.Settle()
		kept := len(g.w.freeUps)
		for _, p := range g.w.pools {
			kept += len(p.ups)
		}
		if n := g.f.Stats().Socks - 1; n != g.w.open || kept != len(g.w.ups) {
			outer.Fatalf("%d sockets are open, counted %d; %d of %d places are free or in a pool", n, g.w.open, kept, len(g.w.ups))
		}
	})
}
