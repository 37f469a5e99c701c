package dsr

import (
	"fmt"
	"time"

	"github.com/penlb/pen/dsr/wire"
)

const (
	askEvery   = time.Second            // each server is asked that often where it is, which also shows that it lives
	askSoon    = 100 * time.Millisecond // until a new one is asked again; after each question twice as long, up to askEvery
	deadAfter  = 3                      // questions without an answer
	askedFirst = 1                      // of them are for the server's known address alone; the rest for everybody
)

// hood is the neighbourhood: the servers by number, and where they are. It is pure: time and frames are its caller's.
type hood struct {
	members []member // position = server number
	byAddr  map[wire.Addr]uint16
	free    []uint16               // numbers of members that are gone
	behind  map[wire.Addr][]uint16 // who is reached by which neighbour
}

// way is how the kernel routes to the end of a tunnel.
type way struct {
	via wire.Addr // a neighbour; zero: there is no way
	mtu int       // longest packet, without the outer header
}

// member is a server, present or past.
type member struct {
	addr       wire.Addr
	tunnel     bool
	via        wire.Addr // the neighbour that leads to it: itself, or for a tunnel a router; zero: there is none
	mtu        int       // longest packet that goes through the tunnel
	wayless    string    // why there is no via, once it has been told
	weight     int
	id         int
	mac        wire.MAC
	generation uint32
	used       bool // the number is taken
	chosen     bool // in the configuration
	alive      bool
	static     bool // the administrator has told where it is; it is not asked
	waiting    int  // questions that it has not answered
	total      Traffic
	drained    Traffic // part of total that Drain has told
}

// adopt begins with members of an earlier process, whose numbers flows go by.
func (h *hood) adopt(members []member) {
	h.members, h.byAddr = members, make(map[wire.Addr]uint16)
	for i := range members {
		if m := &members[i]; m.used {
			h.byAddr[m.addr] = uint16(i)
		} else {
			h.free = append(h.free, uint16(i))
		}
	}
	h.sort()
}

// sort finds out who is behind whom.
func (h *hood) sort() {
	h.behind = make(map[wire.Addr][]uint16, len(h.members))
	for i := range h.members {
		if m := &h.members[i]; m.used && m.via != (wire.Addr{}) {
			h.behind[m.via] = append(h.behind[m.via], uint16(i))
		}
	}
}

// set makes servers the ones that are chosen. Those that are not among them any more stay as long as they answer, for
// the flows that they have. It fails without effect if there are too many.
func (h *hood) set(servers []Server) error {
	if h.byAddr == nil {
		h.byAddr = make(map[wire.Addr]uint16)
	}
	wanted := make(map[wire.Addr]Server, len(servers))
	fresh := 0
	for _, s := range servers {
		a := wire.AddrFrom(s.Addr)
		if _, twice := wanted[a]; twice {
			continue // the first of two counts
		}
		wanted[a] = s
		if _, ok := h.byAddr[a]; !ok {
			fresh++
		}
	}
	if fresh > len(h.free)+MaxServers-len(h.members) {
		return errTooMany
	}
	for i := range h.members {
		m := &h.members[i]
		if !m.used {
			continue
		}
		s, ok := wanted[m.addr]
		if m.chosen = ok; ok {
			m.weight, m.id = s.Weight, s.ID
			if m.tunnel != s.Tunnel {
				m.tunnel = s.Tunnel
				m.leave()
			}
			delete(wanted, m.addr)
		} else if !m.alive {
			h.drop(uint16(i))
		}
	}
	for _, s := range servers { // in their order, not the map's
		a := wire.AddrFrom(s.Addr)
		if _, ok := wanted[a]; ok {
			delete(wanted, a)
			h.add(a, s)
		}
	}
	h.sort()
	return nil
}

// leave forgets the way to m.
func (m *member) leave() {
	m.via, m.mac, m.alive, m.static, m.waiting = wire.Addr{}, wire.MAC{}, false, false, 0
	if !m.tunnel {
		m.via = m.addr
	}
}

// tunnels calls f with the end of each tunnel, to learn the router on the way and the longest packet that goes through.
// It returns who has lost the way, with the reason.
func (h *hood) tunnels(f func(end wire.Addr) (way, error)) (lost []error) {
	moved := false
	for i := range h.members {
		m := &h.members[i]
		if !m.used || !m.tunnel {
			continue
		}
		w, err := f(m.addr)
		if err != nil {
			if m.wayless != err.Error() {
				m.wayless = err.Error()
				lost = append(lost, fmt.Errorf("server %v: %w", m.addr, err))
			}
			m.leave()
			moved = true
			continue
		}
		m.wayless, m.mtu = "", w.mtu
		if w.via == m.via {
			continue
		}
		moved = true
		if m.via != (wire.Addr{}) { // else an earlier process has known it
			m.leave()
		}
		m.via = w.via
		if j := h.behind[m.via]; len(j) > 0 && h.members[j[0]].alive {
			m.mac, m.alive, m.static = h.members[j[0]].mac, true, h.members[j[0]].static
		}
	}
	if moved {
		h.sort()
	}
	return lost
}

func (h *hood) add(a wire.Addr, s Server) {
	if len(h.free) == 0 {
		h.free = append(h.free, uint16(len(h.members)))
		h.members = append(h.members, member{})
	}
	n := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	m := &h.members[n]
	*m = member{addr: a, tunnel: s.Tunnel, weight: s.Weight, id: s.ID, used: true, chosen: true, generation: m.generation + 1}
	m.leave()
	h.byAddr[a] = n
}

// drop gives up number n. What it has counted stays until the number is used again.
func (h *hood) drop(n uint16) {
	m := &h.members[n]
	delete(h.byAddr, m.addr)
	*m = member{generation: m.generation, id: m.id, total: m.total, drained: m.drained}
	h.free = append(h.free, n)
}

// heard notes where a server is, and reports whether that is news.
func (h *hood) heard(n neighbour) (changed bool) {
	for _, i := range h.behind[n.addr] {
		m := &h.members[i]
		if m.static {
			continue
		}
		changed = changed || !m.alive || m.mac != n.mac
		m.mac, m.alive, m.waiting = n.mac, true, 0
	}
	return changed
}

// setStatic notes what the administrator has told about where servers are.
func (h *hood) setStatic(known map[wire.Addr]wire.MAC) {
	for i := range h.members {
		m := &h.members[i]
		if !m.used {
			continue
		}
		mac, static := known[m.via]
		if m.static = static; static {
			m.mac, m.alive, m.waiting = mac, true, 0
		}
	}
}

// first reports whether i has a way, and nobody comes before it on that.
func (h *hood) first(i uint16) bool {
	all := h.behind[h.members[i].via]
	return len(all) > 0 && all[0] == i
}

// turn is due every askEvery. It gives up servers that have not answered and asks all for their address by calling
// ask, with a zero MAC if everybody has to be asked. It reports whether a server has gone.
func (h *hood) turn(ask func(whom wire.Addr, mac wire.MAC)) (changed bool) {
	for i := range h.members {
		m := &h.members[i]
		if !m.used || m.static {
			continue
		}
		if m.waiting >= deadAfter && m.alive {
			m.alive, changed = false, true
			if !m.chosen {
				h.drop(uint16(i))
				continue
			}
		}
		if m.via == (wire.Addr{}) {
			continue
		}
		mac := m.mac
		if !m.alive || m.waiting >= askedFirst {
			mac = wire.MAC{}
		}
		m.waiting++
		if h.first(uint16(i)) { // one question for all behind a router
			ask(m.via, mac)
		}
	}
	if changed {
		h.sort()
	}
	return changed
}

// again asks for the servers that are chosen and not there, by calling ask. It reports whether there are any. Those
// questions do not count: turn gives up servers.
func (h *hood) again(ask func(whom wire.Addr, mac wire.MAC)) (missing bool) {
	for i := range h.members {
		if m := &h.members[i]; m.used && m.chosen && !m.alive && h.first(uint16(i)) {
			missing = true
			ask(m.via, wire.MAC{})
		}
	}
	return missing
}

// targets and shares are the neighbourhood as tables want it.
func (h *hood) targets() []target {
	list := make([]target, len(h.members))
	for i := range h.members {
		m := &h.members[i]
		t := &list[i]
		t.MAC, t.Generation, t.Addr = m.mac, m.generation, m.addr
		if m.alive {
			t.Flags |= targetAlive
		}
		if m.chosen {
			t.Flags |= targetChosen
		}
		if m.tunnel {
			t.Flags |= targetTunnel
			t.MTU = uint16(min(m.mtu, 1<<16-1))
		}
	}
	return list
}

func (h *hood) shares() (list []share) {
	for i := range h.members {
		if m := &h.members[i]; m.used && m.chosen && m.alive {
			list = append(list, share{Addr: m.addr, Weight: m.weight, Number: uint16(i)})
		}
	}
	return list
}
