package client

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	start  = int64(1e18)
	second = int64(time.Second)
)

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func all(t *Table, now int64, tracking time.Duration) []Entry {
	return slices.Collect(t.Recent(now, math.MaxInt64, tracking))
}

func addrs(es []Entry) []string {
	var names []string
	for _, e := range es {
		names = append(names, e.Addr.String())
	}
	return names
}

func TestEntry(t *testing.T) {
	tb := New(7)
	r, server := tb.Touch(addr(1), start, 0)
	if r.Index() != 0 || server != -1 {
		t.Errorf("the first client is number %d on server %d", r.Index(), server)
	}
	tb.SetServer(r, 3, start+1)
	tb.Add(r, 10, 20)
	tb.Add(r, 1, 2)
	if r2, server := tb.Touch(addr(1), start+2, 0); r2 != r || server != 3 || tb.Server(r) != 3 {
		t.Errorf("the same client is %v on server %d, was %v on 3", r2, server, r)
	}
	if r, _ := tb.Touch(addr(2), start+3, 0); r.Index() != 1 {
		t.Errorf("the second client is number %d", r.Index())
	}
	want := []Entry{
		{Index: 0, Addr: addr(1), LastUse: start + 2, Server: 3, Connects: 2, Sent: 11, Received: 22},
		{Index: 1, Addr: addr(2), LastUse: start + 3, Server: -1, Connects: 1},
	}
	if diff := cmp.Diff(want, all(tb, start+9, 0), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhoIsTheSame(t *testing.T) {
	tb := New(20)
	names := []string{
		"0.0.0.0", "::", "127.0.0.1", "::1", "::7f00:1", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "fe80::1%eth0", "",
	}
	for _, name := range names {
		a, _ := netip.ParseAddr(name)
		tb.Touch(a, start, 0)
		tb.Touch(a, start, 0)
	}
	want := []string{"0.0.0.0", "::", "127.0.0.1", "::1", "::7f00:1", "10.0.0.1", "fe80::1", "invalid IP"}
	if diff := cmp.Diff(want, addrs(all(tb, start, 0))); diff != "" {
		t.Error(diff)
	}
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	tb := New(2)
	old, _ := tb.Touch(addr(1), start, 0)
	gone, _ := tb.Touch(addr(2), start+1, 0)
	tb.Touch(addr(1), start+2, 0)
	r, _ := tb.Touch(addr(3), start+3, 0)
	if diff := cmp.Diff([]string{"10.0.0.1", "10.0.0.3"}, addrs(all(tb, start+4, 0))); diff != "" {
		t.Error(diff)
	}
	if r.Index() != gone.Index() {
		t.Errorf("number %d, want %d again", r.Index(), gone.Index())
	}

	tb.SetServer(old, 1, start+5) // counts as a use
	tb.Touch(addr(4), start+6, 0)
	if diff := cmp.Diff([]string{"10.0.0.1", "10.0.0.4"}, addrs(all(tb, start+7, 0))); diff != "" {
		t.Error(diff)
	}
}

func TestStaleRefsAreIgnored(t *testing.T) {
	tb := New(1)
	stale, _ := tb.Touch(addr(1), start, 0)
	fresh, _ := tb.Touch(addr(2), start+1, 0)
	for _, r := range []Ref{stale, {}} {
		tb.SetServer(r, 5, start+2)
		tb.Add(r, 1, 1)
		if got := tb.Server(r); got != -1 {
			t.Errorf("%v is on server %d", r, got)
		}
	}
	want := []Entry{{Addr: addr(2), LastUse: start + 1, Server: -1, Connects: 1}}
	if diff := cmp.Diff(want, all(tb, start+2, 0), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if (Ref{}).Index() != -1 || fresh.Index() != 0 {
		t.Errorf("indexes %d %d", Ref{}.Index(), fresh.Index())
	}
}

func TestTrackingEnds(t *testing.T) {
	const tracking = 10 * time.Second
	tb := New(100)
	r, _ := tb.Touch(addr(1), start, tracking)
	tb.SetServer(r, 4, start)
	at := start + 10*second
	if _, server := tb.Touch(addr(1), at, tracking); server != 4 {
		t.Errorf("at the end of the tracking time the server is %d", server)
	}
	at += 10*second + 1
	if got := all(tb, at, tracking); len(got) != 0 {
		t.Errorf("an expired client is shown: %v", got)
	}
	if got := all(tb, at, 0); len(got) != 1 {
		t.Error("a client expires although tracking is for ever")
	}
	again, server := tb.Touch(addr(1), at, tracking)
	if server != -1 {
		t.Errorf("an expired client is sent to server %d", server)
	}
	tb.Add(r, 1, 1) // of a connection from before
	want := []Entry{{Addr: addr(1), LastUse: at, Server: -1, Connects: 1}}
	if diff := cmp.Diff(want, all(tb, at, tracking), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	at += 11 * second
	if r, _ := tb.Touch(addr(2), at, tracking); r.Index() != again.Index() {
		t.Errorf("number %d, want that of the expired client again", r.Index())
	}
}

func TestRecentWithin(t *testing.T) {
	tb := New(10)
	for i := range 5 {
		tb.Touch(addr(i), start+int64(i)*second, 0)
	}
	got := slices.Collect(tb.Recent(start+4*second, 2*time.Second, 0))
	if diff := cmp.Diff([]string{"10.0.0.2", "10.0.0.3", "10.0.0.4"}, addrs(got)); diff != "" {
		t.Error(diff)
	}
	for e := range tb.Recent(start, math.MaxInt64, 0) {
		if e.Index != 0 {
			t.Error("the iteration goes on")
		}
		break
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct{ ask, want int }{
		{7, 7}, {0, 1}, {-3, 1}, {exactMax, exactMax}, {exactMax + 1, exactMax + 1}, {99999999, Limit},
	} {
		if got := New(tc.ask).Max(); got != tc.want {
			t.Errorf("New(%d).Max() = %d, want %d", tc.ask, got, tc.want)
		}
	}
	tb := New(10)
	for _, tc := range []struct{ ask, want int }{{5, 10}, {12, 12}, {11, 12}} {
		if tb.Grow(tc.ask); tb.Max() != tc.want {
			t.Errorf("after Grow(%d): %d, want %d", tc.ask, tb.Max(), tc.want)
		}
	}
}

// Clients, their order, servers and references survive growth, also from one shard to many.
func TestGrow(t *testing.T) {
	tb := New(3)
	var refs []Ref
	sizes := []int{3, 1000, exactMax, exactMax + 1, 50000}
	for _, size := range sizes {
		tb.Grow(size)
		for i := len(refs); i < size*9/10; i++ {
			r, _ := tb.Touch(addr(i), start+int64(i), 0)
			tb.SetServer(r, i, start+int64(i))
			refs = append(refs, r)
		}
		for i, r := range refs {
			if again, server := tb.Touch(addr(i), start+int64(i), 0); again != r || server != i || tb.Server(r) != i {
				t.Fatalf("size %d: client %d is %v on server %d, was %v", size, i, again, server, r)
			}
		}
	}
	if got := len(all(tb, start, 0)); got != len(refs) {
		t.Errorf("%d clients, want %d", got, len(refs))
	}
}

// A large table is used to the last place, and who goes is old.
func TestLargeTableEvicts(t *testing.T) {
	const size = 20000
	tb := New(size)
	for i := range 3 * size {
		if r, _ := tb.Touch(addr(i), start+int64(i), 0); r == (Ref{}) {
			t.Fatal("no room")
		}
	}
	got := all(tb, start, 0)
	if len(got) != size {
		t.Errorf("%d clients, want %d", len(got), size)
	}
	for _, e := range got {
		if e.LastUse < start+size*3/2 {
			t.Fatalf("client %v stays although %d came later", e.Addr, start+3*size-e.LastUse)
		}
	}
}

func TestUseDoesNotAllocate(t *testing.T) {
	tb := New(100)
	i := 0
	n := testing.AllocsPerRun(1000, func() {
		i++
		r, _ := tb.Touch(addr(i%150), start, 0)
		tb.SetServer(r, 1, start)
		tb.Add(r, 1, 1)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
