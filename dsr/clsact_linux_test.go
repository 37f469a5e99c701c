package dsr

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Without tcx a filter does the same, and goes when the engine does.
func TestClsact(t *testing.T) {
	const size = 20 << 20
	b := newBench(t, setting{true, TC})
	b.classic = true
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, func(_ int, c net.Conn) {
		n, _ := io.Copy(io.Discard, io.LimitReader(c, size))
		if n == size {
			_, _ = c.Write([]byte{1})
		}
	})
	config := Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)}
	for range 2 { // where the discipline is there already, too
		b.start(config)
		if _, lacks := b.engine.Features(); !slices.ContainsFunc(lacks, func(l Lack) bool { return l.Name == "tcx" }) {
			t.Errorf("lacks %v", lacks)
		}
		c, err := b.dial(netip.Addr{}, at)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(c, io.LimitReader(zeros{}, size)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		b.stop()
		if b.filtered() {
			t.Fatal("the filter is still there")
		}
	}
}

// filtered reports whether there is a filter on the interface of pen.
func (b *bench) filtered() (there bool) {
	b.t.Helper()
	if err := b.pen.Do(func() error {
		ifi, err := net.InterfaceByName(b.ifs[1])
		if err != nil {
			return err
		}
		n, err := openNetlink()
		if err != nil {
			return err
		}
		there = (&clsact{netlink: n, index: ifi.Index}).attached() != 0
		return n.close()
	}); err != nil {
		b.t.Fatal(err)
	}
	return there
}

// A filter that is kept is taken over; and what a process leaves that is killed does not stay beside another mode.
func TestClsactIsTakenOver(t *testing.T) {
	b := newBench(t, setting{true, TC})
	b.classic, b.pin = true, bpffs(t)
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, sayName)
	config := Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr), HashPort: true}
	b.start(config)
	c, err := b.dial(netip.Addr{}, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		b.stop()
		if got := b.name(b.clients[0], at); got == "" || !b.filtered() {
			t.Error("nothing is forwarded without an engine")
		}
		before := b.engine
		b.start(config)
		if b.engine == before || len(b.pinned()) != 5 {
			t.Errorf("pinned %v", b.pinned())
		}
		if generation := b.engine.hood.members[0].generation; generation != 1 {
			t.Errorf("generation %d: not taken over", generation)
		}
	}
	b.stop()
	b.mode, b.classic, b.pin = Packet, false, ""
	b.start(config)
	if b.filtered() {
		t.Error("the filter forwards beside packet sockets")
	}
	if got := b.name(b.clients[0], at); got == "" {
		t.Error("nothing is forwarded")
	}
}
