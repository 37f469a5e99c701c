package acl

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// nordic places 127.0.0.x by x and IPv6 in Norway.
type nordic struct{}

func (nordic) Country(a netip.Addr) string {
	if a.Is6() {
		return "NO"
	}
	return [...]string{"", "SE", "DK", "FI"}[a.As4()[3]%4]
}

func parse(t testing.TB, line string) Entry {
	t.Helper()
	e, err := ParseEntry(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func addLines(t testing.TB, tb *Table, n int, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := tb.Add(n, parse(t, line)); err != nil {
			t.Fatal(err)
		}
	}
}

// permitted are those of the addresses, separated by blanks, that list n lets in.
func permitted(tb *Table, n int, addrs string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(addrs), func(s string) bool {
		return !tb.Permits(n, netip.MustParseAddr(s))
	}), " ")
}

func TestPermits(t *testing.T) {
	for _, tc := range []struct {
		name, list, ask, want string
	}{
		{"empty list", "", "127.0.0.1 ::1", "127.0.0.1 ::1"},
		{"permit denies the rest", "permit 127.0.0.2", "127.0.0.1 127.0.0.2 127.0.0.3", "127.0.0.2"},
		{"deny permits the rest", "deny 127.0.0.2", "127.0.0.1 127.0.0.2 127.0.0.3", "127.0.0.1 127.0.0.3"},
		{"first match wins", "deny 127.0.0.2,permit 127.0.0.0 255.255.255.0", "127.0.0.1 127.0.0.2 127.1.0.1", "127.0.0.1"},
		{"first match wins, other order", "permit 127.0.0.0 255.255.255.0,deny 127.0.0.2", "127.0.0.1 127.0.0.2", "127.0.0.1 127.0.0.2"},
		{"opposite of the last entry", "permit 127.0.0.2,deny 127.0.0.3", "127.0.0.2 127.0.0.3 127.0.0.4", "127.0.0.2 127.0.0.4"},
		{"opposite of the last entry, other family", "deny 127.0.0.2,permit ::1", "127.0.0.2 127.0.0.4 ::1 ::2", "::1"},
		{"repeated", "permit 10.0.0.1,deny 10.0.0.1", "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2"},
		{"host bits never match", "permit 10.0.0.5 255.255.255.0", "10.0.0.5 10.0.0.0", ""},
		{"host bits of a length are ignored", "permit 10.0.0.5/24", "10.0.0.5 10.0.0.0 10.0.1.5", "10.0.0.5 10.0.0.0"},
		{"mask with holes", "permit 10.0.0.1 255.0.0.255", "10.0.0.1 10.9.9.1 10.0.0.2 11.0.0.1", "10.0.0.1 10.9.9.1"},
		{"mask 0", "permit 0.0.0.0 0.0.0.0", "10.0.0.1 ::1", "10.0.0.1"},
		{"IPv6", "permit 2001:db8::/32,permit ::1", "2001:db8:1::1 2001:db9:: ::1 ::2 127.0.0.1", "2001:db8:1::1 ::1"},
		{"IPv6 odd length", "permit 2001:db8::/33", "2001:db8:7fff::1 2001:db8:8000::1", "2001:db8:7fff::1"},
		{"IPv6 long length", "permit ::4/126", "::3 ::4 ::7 ::8", "::4 ::7"},
		{"IPv6 of any kind", "permit ::/0", "::1 10.0.0.1 ::ffff:10.0.0.1", "::1 ::ffff:10.0.0.1"},
		{"mapped client, IPv4 entry", "permit 10.0.0.0/8", "10.0.0.1 ::ffff:10.0.0.1 ::ffff:11.0.0.1", "10.0.0.1 ::ffff:10.0.0.1"},
		{"mapped entry", "permit ::ffff:10.0.0.0/104", "10.0.0.1 ::ffff:10.0.0.1 11.0.0.1 ::ffff:11.0.0.1", "10.0.0.1 ::ffff:10.0.0.1"},
		{"zone", "permit fe80::/10", "fe80::1%eth0", "fe80::1%eth0"},
		{"country", "permit country SE,permit country NO", "127.0.0.1 127.0.0.2 127.0.0.4 ::1", "127.0.0.1 ::1"},
		{"country after address", "deny 127.0.0.1,permit country SE", "127.0.0.1 127.0.0.5", "127.0.0.5"},
		{"nowhere", "deny country SE", "127.0.0.0 127.0.0.1", "127.0.0.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := strings.FieldsFunc(tc.list, func(c rune) bool { return c == ',' })
			var one, once Table
			one.SetLocator(nordic{})
			once.SetLocator(nordic{})
			addLines(t, &one, 4, lines...) // few entries: scanned
			release := once.Hold()
			addLines(t, &once, 4, lines...)
			release()
			once.lists[4].publish(0) // all indexed
			for how, tb := range map[string]*Table{"scanned": &one, "indexed": &once} {
				if got := permitted(tb, 4, tc.ask); got != tc.want {
					t.Errorf("%s: permitted %q, want %q", how, got, tc.want)
				}
				if !tb.Permits(4, netip.Addr{}) {
					t.Errorf("%s: a Unix client is denied", how)
				}
			}
		})
	}
}

func TestLists(t *testing.T) {
	var tb Table
	addLines(t, &tb, 1, "deny 127.0.0.2", "permit country SE")
	addLines(t, &tb, 9, "permit 127.0.0.2")
	var got []string
	for _, e := range tb.Entries(1) {
		got = append(got, e.String())
	}
	if diff := cmp.Diff([]string{"deny 127.0.0.2 255.255.255.255", "permit country SE"}, got); diff != "" {
		t.Error(diff)
	}
	const ask = "127.0.0.1 127.0.0.2"
	for n, want := range map[int]string{0: ask, 1: "", 9: "127.0.0.2", -1: "", Lists: ""} {
		if got := permitted(&tb, n, ask); got != want {
			t.Errorf("list %d permits %q, want %q", n, got, want)
		}
	}
	if err := tb.Clear(1); err != nil || len(tb.Entries(1)) != 0 || permitted(&tb, 1, ask) != ask {
		t.Errorf("list 1 is not empty: %v", err)
	}
	for _, n := range []int{-1, Lists, 77} {
		if tb.Add(n, Entry{}) == nil || tb.Clear(n) == nil || tb.Entries(n) != nil {
			t.Errorf("there is a list %d", n)
		}
	}
}

func TestHold(t *testing.T) {
	var tb Table
	addLines(t, &tb, 1, "permit 10.0.0.1")
	check := func(want string) {
		t.Helper()
		if got := permitted(&tb, 1, "10.0.0.1 10.0.0.2"); got != want {
			t.Errorf("permitted %q, want %q", got, want)
		}
	}
	outer, inner := tb.Hold(), tb.Hold()
	if err := tb.Clear(1); err != nil {
		t.Fatal(err)
	}
	check("10.0.0.1")
	addLines(t, &tb, 1, "permit 10.0.0.2")
	check("10.0.0.1")
	if got := tb.Entries(1); len(got) != 1 || got[0] != parse(t, "permit 10.0.0.2") {
		t.Errorf("entries %v", got)
	}
	outer()
	outer()
	check("10.0.0.1")
	inner()
	check("10.0.0.2")
}

// naive is the rule of pen, word by word.
func naive(entries []Entry, a netip.Addr, l Locator) bool {
	if !a.IsValid() || len(entries) == 0 {
		return true
	}
	plain := a.Unmap()
	for _, e := range entries {
		var match bool
		switch {
		case e.Country != "":
			match = l != nil && l.Country(plain) == e.Country
		case e.Addr.Is4():
			match = plain.Is4()
			client, network := plain.As16(), e.Addr.As4()
			for i, mask := range binary.BigEndian.AppendUint32(nil, e.Mask) {
				match = match && client[12+i]&mask == network[i]
			}
		case a.Is4():
			mapped := netip.AddrFrom16(a.As16())
			match = e.Bits >= 96 && netip.PrefixFrom(e.Addr, e.Bits).Contains(mapped)
		default:
			match = netip.PrefixFrom(e.Addr, e.Bits).Contains(a)
		}
		if match {
			return e.Permit
		}
	}
	return !entries[len(entries)-1].Permit
}

// TestModel asks a Table and the naive rule the same questions about lists of every length and kind.
func TestModel(t *testing.T) {
	// Few different bits, so that entries and clients meet.
	quad := rapid.SampledFrom([]byte{0, 1, 2, 10, 255})
	v4 := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, quad.Draw(t, "c"), quad.Draw(t, "d")})
	})
	v6 := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom16([16]byte{0: quad.Draw(t, "first"), 8: quad.Draw(t, "mid"), 15: quad.Draw(t, "last")})
	})
	mapped := rapid.Map(v4, func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) })
	client := rapid.OneOf(v4, v6, mapped, rapid.Just(netip.Addr{}))
	entry := rapid.Custom(func(t *rapid.T) Entry {
		e := Entry{Permit: rapid.Bool().Draw(t, "permit")}
		switch rapid.SampledFrom([]int{4, 4, 6, 7, 0}).Draw(t, "kind") {
		case 4:
			e.Addr = v4.Draw(t, "v4")
			e.Mask = rapid.SampledFrom([]uint32{0xffffffff, 0xffffff00, 0xffff00ff, 0xff000000, 0}).Draw(t, "mask")
		case 6:
			e.Addr = v6.Draw(t, "v6")
			e.Bits = rapid.SampledFrom([]int{128, 127, 121, 65, 64, 63, 8, 0}).Draw(t, "bits")
		case 7:
			e.Addr = mapped.Draw(t, "mapped")
			e.Bits = rapid.SampledFrom([]int{128, 120, 96, 95, 80}).Draw(t, "bits")
		default:
			e.Country = rapid.SampledFrom([]string{"SE", "NO", "FI"}).Draw(t, "country")
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		var tb Table
		var locator Locator
		if rapid.Bool().Draw(t, "located") {
			locator = nordic{}
		}
		tb.SetLocator(locator)
		n := rapid.SampledFrom([]int{0, tailMin, 2 * tailMin}).Draw(t, "at least")
		entries := rapid.SliceOfN(entry, n, n+20).Draw(t, "entries")
		for i, e := range entries {
			if err := tb.Add(3, e); err != nil {
				t.Fatal(err)
			}
			if a := client.Draw(t, "client"); tb.Permits(3, a) != naive(entries[:i+1], a, locator) {
				t.Fatalf("after %d entries %v gets %v", i+1, a, tb.Permits(3, a))
			}
		}
	})
}

// A reload under Hold is one step for those who ask meanwhile.
func TestHoldIsAtomic(t *testing.T) {
	var tb Table
	addLines(t, &tb, 0, "permit 10.0.0.1")
	stranger := netip.MustParseAddr("192.0.2.1")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if tb.Permits(0, stranger) {
					t.Error("open to everybody during a reload")
					return
				}
			}
		})
	}
	for range 200 {
		release := tb.Hold()
		if err := tb.Clear(0); err != nil {
			t.Error(err)
		}
		addLines(t, &tb, 0, "deny 192.0.2.0/24", "permit 10.0.0.1", "permit 10.0.0.2")
		release()
	}
	close(done)
	wg.Wait()
}

func TestPermitsDoesNotAllocate(t *testing.T) {
	tb := fill(t, 1000)
	tb.SetLocator(nordic{})
	addLines(t, tb, 0, "deny country DK", "permit ::/0")
	for _, a := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")} {
		if n := testing.AllocsPerRun(100, func() { tb.Permits(0, a) }); n != 0 {
			t.Errorf("%v: %v allocations", a, n)
		}
	}
}

// fill is a table whose list 0 has n entries, networks of several sizes, added one by one.
func fill(t testing.TB, n int) *Table {
	t.Helper()
	var tb Table
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		e := Entry{Permit: true, Addr: a, Mask: ^uint32(0) << (i % 9)}
		if err := tb.Add(0, e); err != nil {
			t.Fatal(err)
		}
	}
	return &tb
}
