package dsr

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
)

func server(i int) Server {
	return Server{Addr: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), ID: i}
}

func macOf(i int) wire.MAC { return wire.MAC{2, 9, 0, 0, byte(i >> 8), byte(i)} }

func at(i int) neighbour { return neighbour{wire.AddrFrom(server(i).Addr), macOf(i)} }

// asked is whom a turn asks: the last octet, negative when everybody is asked.
func asked(h *hood) (list []int, changed bool) {
	changed = h.turn(func(whom wire.Addr, mac wire.MAC) {
		n := int(whom[15])
		if mac == (wire.MAC{}) {
			n = -n
		}
		list = append(list, n)
	})
	return list, changed
}

func TestServerLivesAndDies(t *testing.T) {
	t.Parallel()
	var h hood
	if err := h.set([]Server{server(1), server(2)}); err != nil {
		t.Fatal(err)
	}
	check := func(step string, want []int, wantChange bool, shares int) {
		t.Helper()
		got, changed := asked(&h)
		if d := cmp.Diff(want, got); d != "" || changed != wantChange || len(h.shares()) != shares {
			t.Errorf("%s: changed %v, %d shares, asked (-want +got) %s", step, changed, len(h.shares()), d)
		}
	}
	check("unknown", []int{-1, -2}, false, 0)
	if !h.heard(at(1)) || h.heard(at(1)) || h.heard(at(3)) {
		t.Error("news that are none, or none that are")
	}
	check("one answered", []int{1, -2}, false, 1)
	check("it is silent", []int{-1, -2}, false, 1)
	check("still", []int{-1, -2}, false, 1)
	check("three times", []int{-1, -2}, true, 0)
	if !h.heard(at(1)) {
		t.Error("no news that it is back")
	}
	check("back", []int{1, -2}, false, 1)
	h.heard(at(1))
	moved := at(1)
	moved.mac = macOf(9)
	if !h.heard(moved) || h.targets()[0].MAC != macOf(9) {
		t.Error("it did not move")
	}
}

func TestServersLeaveAndReturn(t *testing.T) {
	t.Parallel()
	var h hood
	set := func(ids ...int) {
		t.Helper()
		var list []Server
		for _, i := range ids {
			list = append(list, server(i))
		}
		if err := h.set(list); err != nil {
			t.Fatal(err)
		}
	}
	set(1, 2, 2)
	if len(h.members) != 2 {
		t.Fatalf("%d members", len(h.members))
	}
	h.heard(at(1))
	generation := h.members[0].generation
	set() // 1 stays for its flows; 2 was never there
	if got := h.targets()[0].Flags; got != targetAlive {
		t.Errorf("flags %d of a server that leaves", got)
	}
	set(1)
	if h.members[0].generation != generation || h.targets()[0].Flags != targetAlive|targetChosen {
		t.Errorf("after its return: %+v", h.members[0])
	}
	set(3)
	if h.byAddr[at(3).addr] != 1 {
		t.Errorf("3 has number %d, want that of 2", h.byAddr[at(3).addr])
	}
	for range deadAfter + 1 {
		asked(&h) // 1 has left and is silent: gone
	}
	if _, ok := h.byAddr[at(1).addr]; ok || h.members[0].used {
		t.Error("a dead server that left is still there")
	}
	set(3, 4)
	if h.byAddr[at(4).addr] != 0 || h.members[0].generation == generation {
		t.Error("the number was not used again, or with the old generation")
	}
}

func TestStaticServersAreNotAsked(t *testing.T) {
	t.Parallel()
	var h hood
	if err := h.set([]Server{server(1), server(2)}); err != nil {
		t.Fatal(err)
	}
	h.setStatic(map[wire.Addr]wire.MAC{at(1).addr: macOf(7)})
	got, _ := asked(&h)
	if d := cmp.Diff([]int{-2}, got); d != "" {
		t.Error(d)
	}
	if h.heard(at(1)) || h.targets()[0].MAC != macOf(7) {
		t.Error("an answer counts more than the administrator")
	}
	h.setStatic(nil)
	if got, _ = asked(&h); len(got) != 2 {
		t.Errorf("asked %v", got)
	}
}

func TestTooManyServers(t *testing.T) {
	t.Parallel()
	var h hood
	var list []Server
	for i := range MaxServers {
		list = append(list, server(i))
	}
	if err := h.set(list); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		h.heard(at(i))
	}
	if err := h.set([]Server{server(MaxServers)}); !errors.Is(err, errTooMany) {
		t.Errorf("error %v", err)
	}
	if len(h.shares()) != MaxServers {
		t.Error("the refused change had an effect")
	}
}
