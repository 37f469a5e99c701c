package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/penlb/pen/dsr"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/stats"
)

// followEvery is how often the forwarder is told what has changed: servers, their blacklisting and its end. Changes of
// settings are told at once.
const followEvery = 200 * time.Millisecond

// direct is direct server return, which runs in the place of the proxy when dsr_if names an interface.
type direct struct {
	d      *Daemon
	engine *dsr.Engine

	// guarded by mu
	mu    sync.Mutex
	vip   dsr.VIP // where we listen
	told  dsr.Config
	wrong string // what is wrong with the present configuration, once it has been said

	packets []uint64 // to each slot of the server table
}

// rawPath reports whether packets are forwarded and connections are not.
func (d *Daemon) rawPath() bool { return d.store.Get().DSRIf != "" }

// parseVIP reads where to listen with direct server return: an address with a port, or without for all ports.
func (d *Daemon) parseVIP(spec string) (dsr.VIP, error) {
	proto := dsr.TCP
	if d.store.Get().UDP {
		proto = dsr.UDP
	}
	return dsr.ParseVIP(spec, proto)
}

// checkDSR looks at what only direct server return reads.
func (d *Daemon) checkDSR() error {
	s := d.store.Get()
	_, err := net.InterfaceByName(s.DSRIf)
	if err != nil {
		err = fmt.Errorf("dsr_if %s: %w", s.DSRIf, err)
	}
	for _, spec := range s.DSRVIPs {
		_, verr := dsr.ParseVIP(spec, dsr.Both)
		err = errors.Join(err, verr)
	}
	return err
}

// openDSR opens the interface, and adds the servers of the command line.
func (d *Daemon) openDSR(specs []string) error {
	vip, err := d.parseVIP(d.listening)
	if err != nil {
		return err
	}
	s := d.store.Get()
	n := s.Threads
	if n <= 0 {
		n = runtime.NumCPU()
	}
	e, err := dsr.Open(dsr.Options{Interface: s.DSRIf, Threads: n, Batch: min(s.MultiAccept, dsr.MaxBatch),
		Announce: s.DSRAnnounce, Mode: dsr.Mode(s.DSRMode), Pin: s.DSRPin, Logf: d.Logf})
	if err != nil {
		return fmt.Errorf("direct server return: %w", err)
	}
	d.direct = &direct{d: d, engine: e, vip: vip}
	if err := d.addServers(specs, vip.Port); err != nil {
		return err
	}
	return d.direct.follow()
}

// run forwards until stop.
func (x *direct) run() error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(followEvery)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				x.refresh()
			}
		}
	})
	err := x.engine.Run()
	close(stop)
	wg.Wait()
	return err
}

// refresh is follow, with a line in the log for what is wrong, once.
func (x *direct) refresh() {
	err := x.follow()
	x.mu.Lock()
	defer x.mu.Unlock()
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now != x.wrong && now != "" {
		x.d.Logf("direct server return goes on as before: %v", err)
	}
	x.wrong = now
}

// listen moves the virtual address.
func (x *direct) listen(vip dsr.VIP) error {
	x.mu.Lock()
	before := x.vip
	x.vip = vip
	x.mu.Unlock()
	err := x.follow()
	if err != nil {
		x.mu.Lock()
		x.vip = before
		x.mu.Unlock()
	}
	return err
}

// follow tells the forwarder what is asked for now, if that has changed.
func (x *direct) follow() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	c, err := x.wanted()
	if err != nil || same(&c, &x.told) {
		return err
	}
	if err := x.engine.Configure(c); err != nil {
		return err
	}
	x.told = c
	return nil
}

func same(a, b *dsr.Config) bool {
	return slices.Equal(a.VIPs, b.VIPs) && slices.Equal(a.Servers, b.Servers) && a.HashPort == b.HashPort && a.Sources == b.Sources &&
		(a.Tarpit == nil) == (b.Tarpit == nil) && a.Tarpit6 == b.Tarpit6 && (a.Permit == nil) == (b.Permit == nil)
}

// wanted makes a configuration of settings, servers and access lists. Which list is meant, and what is in it, counts
// at the moment when a frame arrives.
func (x *direct) wanted() (dsr.Config, error) {
	d, s := x.d, x.d.store.Get()
	c := dsr.Config{VIPs: []dsr.VIP{x.vip}, HashPort: s.Rules.RoundRobin,
		Sources: dsr.Sources{Four: s.DSRSource4, Six: s.DSRSource6}}
	if len(d.acl.Entries(s.ClientACL)) > 0 { // an empty list permits everybody; who need not be asked are forwarded in the kernel
		c.Permit = func(client netip.Addr) bool { return d.acl.Permits(d.store.Get().ClientACL, client) }
	}
	for _, spec := range s.DSRVIPs {
		v, err := dsr.ParseVIP(spec, dsr.Both)
		if err != nil {
			return c, err
		}
		c.VIPs = append(c.VIPs, v)
	}
	now := d.Now()
	for i := range d.servers.Len() {
		// Limits, priorities and ports are not for us: connections are not counted, and frames are not rewritten.
		t := d.servers.Target(i)
		if t.Path == "" && t.Addr.IsValid() && !t.Addr.IsUnspecified() && !d.servers.Blacklisted(&s.Rules, i, now) {
			c.Servers = append(c.Servers, dsr.Server{Addr: t.Addr, Weight: t.Weight, ID: i, Tunnel: t.Tunnel})
		}
	}
	// pen: with an empty list, which permits everybody, it answered for every address of the link.
	if s.TarpitACL >= 0 && len(d.acl.Entries(s.TarpitACL)) > 0 {
		c.Tarpit = func(target netip.Addr) bool {
			list := d.store.Get().TarpitACL
			return list >= 0 && d.acl.Permits(list, target)
		}
		// A list that speaks of IPv4 alone says nothing about IPv6, even if it ends with a denial.
		c.Tarpit6 = slices.ContainsFunc(d.acl.Entries(s.TarpitACL), func(e acl.Entry) bool { return e.Permit && e.Addr.Is6() })
	}
	return c, nil
}

// sync adds the traffic of each server to its totals.
func (x *direct) sync() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.engine.Drain(func(id int, t dsr.Traffic) {
		x.d.servers.AddTraffic(id, t.Bytes, 0)
		if more := id + 1 - len(x.packets); more > 0 {
			x.packets = append(x.packets, make([]uint64, more)...)
		}
		x.packets[id] += t.Packets
	})
}

// info is the engine for `engine`.
func (x *direct) info() control.EngineInfo {
	works, lacks := x.engine.Features()
	e := control.EngineInfo{Name: string(x.engine.Mode()), Threads: x.engine.Threads(), Features: works}
	for _, l := range lacks {
		e.Passed = append(e.Passed, control.EnginePassed(l))
	}
	return e
}

// DSR implements control.Runtime.
func (d *Daemon) DSR() *stats.Direct {
	if d.direct == nil {
		return nil
	}
	x := d.direct
	s := x.engine.Stats()
	info := &stats.Direct{Servers: []stats.DirectServer{}, VIPs: []stats.DirectVIP{}, Drops: []stats.DirectDrop{},
		Answered: s.Answered, Lost: s.Lost, Reopened: s.Reopened}
	x.mu.Lock()
	info.Packets = slices.Clone(x.packets)
	x.mu.Unlock()
	for _, v := range s.Servers {
		state := "dead"
		switch {
		case v.Alive && v.Chosen:
			state = "alive"
		case v.Alive:
			state = "leaving"
		}
		sv := stats.DirectServer{Addr: v.Addr.String(), MAC: v.MAC.String(), State: state, MTU: v.MTU,
			Packets: v.Packets, Bytes: v.Bytes}
		if v.Via.IsValid() {
			sv.Via = v.Via.String()
		}
		info.Servers = append(info.Servers, sv)
	}
	for _, v := range s.VIPs {
		info.VIPs = append(info.VIPs, stats.DirectVIP{Name: v.VIP.String(), Packets: v.Packets, Bytes: v.Bytes})
	}
	for _, v := range s.Drops {
		info.Drops = append(info.Drops, stats.DirectDrop(v))
	}
	return info
}
