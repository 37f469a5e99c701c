package dsr

import (
	"net/netip"
	"sync/atomic"

	"github.com/penlb/pen/dsr/wire"
)

// traffic counts frames; one that the sender left to the network card to cut counts once, with its whole length. It is
// struct traffic of bpf/dsr.c.
type traffic struct{ packets, bytes, packetsTaken, bytesTaken atomic.Uint64 }

func (t *traffic) add(bytes int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(bytes))
}

// counts are those of one thread, which alone adds to them.
type counts struct {
	verdicts [verdicts]atomic.Uint64
	servers  [MaxServers]traffic
	vips     [MaxVIPs]traffic
}

func (c *counts) forwarded(server uint16, vip uint32, bytes int) {
	c.servers[server].add(bytes)
	c.vips[vip].add(bytes)
}

// Traffic is what went one way.
type Traffic struct{ Packets, Bytes uint64 }

// take adds what t has counted since the last time.
func (s *Traffic) take(t *traffic) {
	s.Packets += untaken(&t.packets, &t.packetsTaken)
	s.Bytes += untaken(&t.bytes, &t.bytesTaken)
}

// untaken is what has been counted since somebody took it, perhaps another process. Whoever counts need not wait for
// that, as he would if the count went back to 0.
func untaken(count, taken *atomic.Uint64) uint64 {
	for {
		before := taken.Load()
		now := count.Load()
		if taken.CompareAndSwap(before, now) {
			return now - before
		}
	}
}

// ServerStats is what is known of a server.
type ServerStats struct {
	Traffic // towards it; what it sends does not come here
	Addr    netip.Addr
	ID      int
	MAC     wire.MAC   // zero until it has answered
	Via     netip.Addr // of a tunnel: the router to it, or itself where that is a neighbour; else invalid
	MTU     int        // of a tunnel: longest packet that goes through
	Alive   bool
	Chosen  bool // new clients may be given to it; else it only keeps those that it has
}

// VIPStats is what is known of a VIP.
type VIPStats struct {
	Traffic
	VIP VIP
}

// Drop is how many frames were dropped for one cause.
type Drop struct {
	Cause  string
	Frames uint64
}

// Stats is a snapshot.
type Stats struct {
	Servers  []ServerStats
	VIPs     []VIPStats
	Drops    []Drop // causes that have occurred
	Answered uint64 // ARP, neighbour discovery and tarpit
	Lost     uint64 // frames that the kernel had no room for
	Reopened uint64 // rings of threads that the kernel had given up, each over one frame
}
