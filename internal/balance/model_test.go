package balance

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is pen's selection written down as plainly as possible: one thread, no care for speed.
type model struct {
	rules   Rules
	servers map[int]*modelServer
	n       int // servers in the table
	last    int
	now     int64
	deny    denying
}

type modelServer struct {
	Config
	conns  int
	status int64
}

func (m *model) unavailable(i int) bool {
	sv := m.servers[i]
	return sv.Port == 0 || sv.status != 0 && m.now-sv.status < int64(m.rules.Blacklist)
}

func (m *model) try(i int, c Client) bool {
	sv := m.servers[i]
	full := sv.Max != 0 && sv.conns >= sv.Max && (c.Server != i || sv.conns >= sv.Hard)
	if m.unavailable(i) || full || !m.deny.Permits(sv.ACL, c.Addr) {
		return false
	}
	sv.conns++
	return true
}

func (m *model) initial(c Client) int {
	var open []int
	for i := range m.n {
		if !m.unavailable(i) {
			open = append(open, i)
		}
	}
	least := func(is []int, of func(*modelServer) int) int {
		if len(is) == 0 {
			return None
		}
		return slices.MinFunc(is, func(a, b int) int { return cmp.Compare(of(m.servers[a]), of(m.servers[b])) })
	}
	switch {
	case !m.rules.RoundRobin && c.Server >= 0 && c.Server < m.n:
		return c.Server
	case m.rules.Prio:
		return least(open, func(sv *modelServer) int { return sv.Prio })
	case m.rules.Weight:
		open = slices.DeleteFunc(open, func(i int) bool { return m.servers[i].Weight == 0 })
		return least(open, func(sv *modelServer) int { return 256 * sv.conns / sv.Weight })
	case m.rules.Hash:
		return byHash(m.n, &m.rules, &c)
	case len(open) == 0:
		return None
	}
	for m.last = (m.last + 1) % m.n; m.unavailable(m.last); m.last = (m.last + 1) % m.n {
	}
	return m.last
}

func (m *model) pick(c Client) int {
	i := m.initial(c)
	if i != None && m.try(i, c) {
		return i
	}
	return m.failover(c, i, i)
}

func (m *model) failover(c Client, start, i int) int {
	if m.rules.Stubborn || i < None {
		return None
	}
	for k := 1; i != None && k < m.n; k++ {
		next := (i + k) % m.n
		if next == start {
			break
		}
		if m.try(next, c) {
			return next
		}
	}
	if m.try(Emergency, c) {
		return Emergency
	}
	return None
}

func (m *model) pickAbuse(c Client) int {
	if m.try(Abuse, c) {
		return Abuse
	}
	if m.rules.Stubborn || m.servers[Abuse].Port != 0 || !m.try(Emergency, c) {
		return None
	}
	return Emergency
}

// TestModel drives a Service and the model through the same random life and compares all that can be seen.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clients := []netip.Addr{localhost, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::1")}
		m := &model{
			rules:   Rules{Blacklist: 10},
			servers: map[int]*modelServer{Emergency: {}, Abuse: {}},
			now:     1,
			deny:    denying{1: clients[1]},
		}
		s := New(m.deny)
		type session struct {
			c         Client
			start, at int
		}
		var held []session

		index := func() int {
			return rapid.SampledFrom([]int{Emergency, Abuse, 0, 1, 2, 3, 4, 5}).Draw(t, "index")
		}
		known := func() int {
			i := index()
			if i >= m.n {
				t.Skip("no such server")
			}
			return i
		}
		client := func() Client {
			return Client{
				Addr:   rapid.SampledFrom(clients).Draw(t, "addr"),
				Port:   rapid.Uint16().Draw(t, "port"),
				Server: rapid.IntRange(Abuse, m.n).Draw(t, "remembered"),
			}
		}
		hold := func(c Client, start, got, want int) {
			if got != want {
				t.Fatalf("client %v remembered on %d: got server %d, want %d", c.Addr, c.Server, got, want)
			}
			if got != None {
				held = append(held, session{c, start, got})
			}
		}
		take := func() session {
			if len(held) == 0 {
				t.Skip("nobody is connected")
			}
			i := rapid.IntRange(0, len(held)-1).Draw(t, "session")
			x := held[i]
			held = slices.Delete(held, i, i+1)
			s.Release(x.at)
			m.servers[x.at].conns--
			return x
		}
		fail := func(i int) {
			s.Fail(i, m.now)
			m.servers[i].status = max(m.servers[i].status, m.now)
		}

		update := func(i int) {
			c := Config{
				Addr:   localhost,
				Port:   uint16(rapid.SampledFrom([]int{80, 80, 80, 0}).Draw(t, "port")),
				Max:    rapid.IntRange(0, 3).Draw(t, "max"),
				Hard:   rapid.IntRange(0, 4).Draw(t, "hard"),
				Weight: rapid.IntRange(0, 3).Draw(t, "weight"),
				Prio:   rapid.IntRange(-1, 2).Draw(t, "prio"),
				ACL:    rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "acl"),
			}
			for ; m.n <= i; m.n++ {
				m.servers[m.n] = &modelServer{}
			}
			m.servers[i].Config = c
			if err := s.Update(i, func(dst *Config) { *dst = c }); err != nil {
				t.Fatal(err)
			}
		}
		for i, n := Abuse, rapid.IntRange(0, 6).Draw(t, "servers"); i < n; i++ {
			if i != None {
				update(i)
			}
		}

		// Picks come under several names so that they are drawn more often.
		pick := func(t *rapid.T) {
			c := client()
			i := s.Pick(&m.rules, &c, m.now)
			hold(c, i, i, m.pick(c))
		}
		next := func(t *rapid.T) {
			x := take()
			fail(x.at)
			i := s.Next(&m.rules, &x.c, x.start, x.at, m.now)
			hold(x.c, x.start, i, m.failover(x.c, x.start, x.at))
		}
		t.Repeat(map[string]func(*rapid.T){
			"update": func(t *rapid.T) { update(index()) },
			"rules": func(t *rapid.T) {
				flag := rapid.Bool()
				m.rules = Rules{
					RoundRobin: flag.Draw(t, "roundrobin"),
					Hash:       flag.Draw(t, "hash"),
					Stubborn:   rapid.IntRange(0, 4).Draw(t, "stubborn") == 0,
					Weight:     rapid.IntRange(0, 3).Draw(t, "weight") == 0,
					Prio:       rapid.IntRange(0, 3).Draw(t, "prio") == 0,
					Blacklist:  time.Duration(rapid.IntRange(0, 20).Draw(t, "blacklist")),
				}
			},
			"wait": func(t *rapid.T) { m.now += rapid.Int64Range(1, 15).Draw(t, "ns") },
			"pick": pick, "pick again": pick, "pick once more": pick,
			"next": next, "next again": next,
			"abuse": func(t *rapid.T) {
				c := client()
				i := s.PickAbuse(&m.rules, &c, m.now)
				hold(c, i, i, m.pickAbuse(c))
			},
			"close": func(t *rapid.T) { take() },
			"fail":  func(t *rapid.T) { fail(known()) },
			"blacklist": func(t *rapid.T) {
				i, d := known(), time.Duration(rapid.IntRange(0, 12).Draw(t, "for"))
				s.SetBlacklist(&m.rules, i, d, m.now)
				m.servers[i].status = 0
				if d > 0 {
					m.servers[i].status = m.now + int64(d-m.rules.Blacklist)
				}
			},
			"": func(t *rapid.T) {
				if s.Len() != m.n {
					t.Fatalf("%d servers, want %d", s.Len(), m.n)
				}
				for i, sv := range m.servers {
					if s.Conns(i) != sv.conns || s.FailedAt(i) != sv.status || s.Config(i) != sv.Config ||
						s.Available(&m.rules, i, m.now) == m.unavailable(i) {
						t.Fatalf("server %d: %d connections, failed at %d, want %+v", i, s.Conns(i), s.FailedAt(i), *sv)
					}
				}
			},
		})
	})
}
