package balance

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const now = int64(1e18)

// newcomer is a client that nobody remembers.
var newcomer = Client{Addr: localhost, Server: None}

// denying denies what it holds: list and address.
type denying map[int]netip.Addr

func (d denying) Permits(list int, a netip.Addr) bool {
	denied, ok := d[list]
	return !ok || denied != a
}

func TestPickSequence(t *testing.T) {
	rr := Rules{RoundRobin: true, Blacklist: time.Minute}
	with := func(r Rules, f func(*Rules)) Rules { f(&r); return r }
	weight := with(rr, func(r *Rules) { r.Weight = true })
	prio := with(rr, func(r *Rules) { r.Prio = true })
	stubborn := with(rr, func(r *Rules) { r.Stubborn = true })
	tracking := with(rr, func(r *Rules) { r.RoundRobin = false })

	for _, tc := range []struct {
		name      string
		rules     Rules
		servers   []Config
		failed    []int // indexes
		emergency bool
		deny      denying
		client    Client
		want      []int // of successive picks, all held
	}{
		{name: "round robin starts at 1", rules: rr, servers: make([]Config, 3), client: newcomer, want: []int{1, 2, 0, 1, 2, 0}},
		{name: "one server", rules: rr, servers: make([]Config, 1), client: newcomer, want: []int{0, 0, 0}},
		{name: "no server", rules: rr, client: newcomer, want: []int{None}},
		{name: "no server but emergency", rules: rr, emergency: true, client: newcomer, want: []int{Emergency}},
		{name: "blacklisted ones are skipped", rules: rr, servers: make([]Config, 3), failed: []int{1}, client: newcomer, want: []int{2, 0, 2, 0}},
		{name: "a full one has its turn", rules: rr, servers: []Config{{Max: 1}, {}, {}}, client: newcomer, want: []int{1, 2, 0, 1, 2, 1, 1, 2, 1}},
		{name: "all blacklisted", rules: rr, servers: make([]Config, 2), failed: []int{0, 1}, client: newcomer, want: []int{None}},
		{name: "all blacklisted but emergency", rules: rr, servers: make([]Config, 2), failed: []int{0, 1}, emergency: true, client: newcomer, want: []int{Emergency, Emergency}},
		{name: "all full", rules: rr, servers: []Config{{Max: 1}, {Max: 1}}, client: newcomer, want: []int{1, 0, None, None}},
		{name: "all full but emergency", rules: rr, servers: []Config{{Max: 1}}, emergency: true, client: newcomer, want: []int{0, Emergency}},
		{name: "emergency blacklisted", rules: rr, servers: make([]Config, 1), failed: []int{0, Emergency}, emergency: true, client: newcomer, want: []int{None}},
		{name: "stubborn and full", rules: stubborn, servers: []Config{{Max: 1}, {}}, emergency: true, client: newcomer, want: []int{1, 0, 1, None, 1}},
		{name: "stubborn and all blacklisted", rules: stubborn, servers: make([]Config, 1), failed: []int{0}, emergency: true, client: newcomer, want: []int{None}},
		{name: "a negative limit admits nobody", rules: rr, servers: []Config{{Max: -1}}, client: newcomer, want: []int{None}},

		{name: "remembered", rules: tracking, servers: make([]Config, 3), client: Client{Server: 2}, want: []int{2, 2, 2}},
		{name: "remembered and blacklisted", rules: tracking, servers: make([]Config, 3), failed: []int{2}, client: Client{Server: 2}, want: []int{0, 0}},
		{name: "remembered beats prio", rules: with(tracking, func(r *Rules) { r.Prio = true }), servers: []Config{{Prio: 1}, {Prio: 2}}, client: Client{Server: 1}, want: []int{1}},
		{name: "not remembered with round robin", rules: rr, servers: make([]Config, 3), client: Client{Server: 2}, want: []int{1, 2, 0}},
		{name: "remembered emergency is a new client", rules: tracking, servers: make([]Config, 3), client: Client{Server: Emergency}, want: []int{1, 2}},
		{name: "remembered beyond the table is a new client", rules: tracking, servers: make([]Config, 3), client: Client{Server: 3}, want: []int{1, 2}},
		{name: "hard limit for the remembered", rules: tracking, servers: []Config{{Max: 1, Hard: 3}}, client: Client{Server: 0}, want: []int{0, 0, 0, None}},
		{name: "soft limit for others", rules: tracking, servers: []Config{{Max: 1, Hard: 3}}, client: newcomer, want: []int{0, None}},
		{name: "hard below soft", rules: tracking, servers: []Config{{Max: 2, Hard: 1}}, client: Client{Server: 0}, want: []int{0, 0, None}},

		{name: "weights", rules: weight, servers: []Config{{Weight: 1}, {Weight: 3}}, client: newcomer, want: []int{0, 1, 1, 1, 0, 1, 1, 1}},
		{name: "weight 0", rules: weight, servers: []Config{{}, {Weight: 5}}, client: newcomer, want: []int{1, 1, 1}},
		{name: "no weights", rules: weight, servers: make([]Config, 2), emergency: true, client: newcomer, want: []int{Emergency}},
		{name: "weight of a blacklisted one", rules: weight, servers: []Config{{Weight: 9}, {Weight: 1}}, failed: []int{0}, client: newcomer, want: []int{1, 1}},

		{name: "prio", rules: prio, servers: []Config{{Prio: 5}, {Prio: 2}, {Prio: 2}}, client: newcomer, want: []int{1, 1}},
		{name: "prio of a blacklisted one", rules: prio, servers: []Config{{Prio: 5}, {Prio: 2}, {Prio: 9}}, failed: []int{1}, client: newcomer, want: []int{0}},
		{name: "prio before weight", rules: with(prio, func(r *Rules) { r.Weight = true }), servers: []Config{{Prio: 1}, {Weight: 1}}, client: newcomer, want: []int{1}},
		{name: "weight before hash", rules: with(weight, func(r *Rules) { r.Hash = true }), servers: []Config{{}, {}, {Weight: 1}}, client: newcomer, want: []int{2}},
		{name: "a full favourite is passed over", rules: prio, servers: []Config{{Prio: 3}, {Prio: 1, Max: 1}, {Prio: 2}}, client: newcomer, want: []int{1, 2, 2}},

		{name: "denied by a server", rules: rr, servers: []Config{{}, {ACL: 1}}, deny: denying{1: localhost}, client: newcomer, want: []int{0, 0}},
		{name: "denied by all", rules: rr, servers: make([]Config, 2), emergency: true, deny: denying{0: localhost}, client: newcomer, want: []int{None}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, tc.deny, tc.servers...)
			if tc.emergency {
				set(t, s, Emergency, Config{})
			}
			for _, i := range tc.failed {
				s.Fail(i, now)
			}
			var got []int
			for range tc.want {
				got = append(got, s.Pick(&tc.rules, &tc.client, now))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPickAbuse(t *testing.T) {
	for _, tc := range []struct {
		name             string
		stubborn         bool
		emergency, abuse bool
		failed           bool // the abuse server
		deny             denying
		want             int
	}{
		{name: "abuse", abuse: true, emergency: true, want: Abuse},
		{name: "abuse failed", abuse: true, emergency: true, failed: true, want: None},
		{name: "abuse although stubborn", stubborn: true, abuse: true, want: Abuse},
		{name: "denied by list 0", abuse: true, emergency: true, deny: denying{0: localhost}, want: None},
		{name: "no abuse", want: None},
		{name: "no abuse but emergency", emergency: true, want: Emergency},
		{name: "no abuse but emergency, stubborn", emergency: true, stubborn: true, want: None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, tc.deny, Config{}, Config{})
			if tc.emergency {
				set(t, s, Emergency, Config{})
			}
			if tc.abuse {
				set(t, s, Abuse, Config{})
			}
			if tc.failed {
				s.Fail(Abuse, now)
			}
			got := s.PickAbuse(&Rules{Stubborn: tc.stubborn, Blacklist: time.Minute}, &newcomer, now)
			if got != tc.want {
				t.Fatalf("got %d, want %d", got, tc.want)
			}
			if got != None && s.Conns(got) != 1 {
				t.Error("no place taken")
			}
		})
	}
}

// A client whose servers fail one after the other sees each of them once.
func TestNextWalks(t *testing.T) {
	for _, tc := range []struct {
		name      string
		rules     Rules
		n         int
		emergency bool
		want      []int
	}{
		{"around", Rules{}, 4, false, []int{1, 2, 3, 0, None}},
		{"to emergency", Rules{}, 3, true, []int{1, 2, 0, Emergency, None}},
		{"one server", Rules{}, 1, true, []int{0, Emergency, None}},
		{"stubborn", Rules{Stubborn: true}, 3, true, []int{1, None}},
		{"blacklist time 0", Rules{}, 2, false, []int{1, 0, None}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.rules
			r.RoundRobin = true
			s := newService(t, nil, make([]Config, tc.n)...)
			if tc.emergency {
				set(t, s, Emergency, Config{})
			}
			start := s.Pick(&r, &newcomer, now)
			got := []int{start}
			for i := start; i != None; {
				s.Release(i)
				s.Fail(i, now)
				i = s.Next(&r, &newcomer, start, i, now)
				got = append(got, i)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			for i := Abuse; i < s.Len(); i++ {
				if i != None && s.Conns(i) != 0 {
					t.Errorf("server %d keeps %d places", i, s.Conns(i))
				}
			}
		})
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	s := newService(t, denying{5: localhost}, make([]Config, 10)...)
	set(t, s, Emergency, Config{})
	set(t, s, Abuse, Config{})
	for _, r := range []Rules{{}, {RoundRobin: true}, {Hash: true}, {Prio: true}, {Weight: true}} {
		c := newcomer
		n := testing.AllocsPerRun(100, func() {
			i := s.Pick(&r, &c, now)
			s.Release(i)
			if i >= 0 {
				s.Release(s.Next(&r, &c, i, i, now))
			}
			s.Release(s.PickAbuse(&r, &c, now))
		})
		if n != 0 {
			t.Errorf("%+v: %v allocations", r, n)
		}
	}
}
