package dsr

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penlb/pen/dsr/wire"
)

// flowsMax is how many flows are remembered, 64 bytes each.
const flowsMax = 1 << 18

// Options are constant for the life of an Engine.
type Options struct {
	Interface string // name of the interface of the link that clients, or their router, and servers share
	Threads   int    // at least 1
	Batch     int    // most frames taken from the kernel at once; 1 to MaxBatch
	Announce  bool   // tell the link about each VIP as soon as it is ours
	Mode      Mode   // empty: Packet
	// Pin is a directory in a BPF file system, such as /sys/fs/bpf. Below it stays, by the name of the interface, what
	// forwards in the kernel, and goes on when this process ends until another one takes over. Empty: forwarding ends
	// with the process.
	Pin string
	// Logf tells the operator something. It is called by any thread and must not block.
	Logf func(format string, args ...any)

	classic bool // for tests: TC as before Linux 6.6
}

// MaxBatch is the largest Options.Batch.
const MaxBatch = 64

// nic is the interface as the engine sees it.
type nic interface {
	// send sends one of our own frames.
	send(frame []byte) error
	// update makes the kernel hand us what c wants, and keep it from its own stack.
	update(c *Config) error
	// source is the address of ours from which to ask for whom.
	source(whom wire.Addr) wire.Addr
	// refresh reads the addresses of this machine, and the neighbours that the administrator has told the kernel.
	refresh() (static map[wire.Addr]wire.MAC, err error)
	// way is how to reach the end of a tunnel.
	way(end wire.Addr) (way, error)
	// own are the addresses of this machine.
	own() []wire.Addr
	// mac is our Ethernet address.
	mac() wire.MAC
	// publish makes the kernel forward by t too, if it forwards at all.
	publish(t *tables) error
	// mode is who forwards c, and what is against a program that could.
	mode(c *Config) (Mode, string)
	// run forwards until stop is called.
	run() error
	// stop may be called from any goroutine.
	stop()
	// lost is how many frames the kernel had no room for, and how many rings of threads it had given up.
	lost() (frames, rings uint64)
	// features are what works, and what does not.
	features() (works []string, lacks []Lack)
	close() error
}

// Engine forwards. Its methods may be called from any goroutine.
type Engine struct {
	// constant after Open
	opts    Options
	nic     nic
	flows   *flowTable
	pit     *pit
	counts  []*counts // per thread
	news    chan neighbour
	fresh   chan struct{} // there may be servers that nobody has heard of yet
	stopped chan struct{}
	began   time.Time

	tables atomic.Pointer[tables]

	stopOnce sync.Once

	// guarded by mu
	mu       sync.Mutex
	config   Config
	hood     hood
	own      []wire.Addr
	shares   []share
	vips     []Traffic // of config.VIPs
	behind   bool      // the kernel did not take the last tables; turn tries again
	closed   bool
	ownFrame [ownFrame]byte
}

// newEngine makes an engine without a link.
func newEngine(o Options) *Engine {
	e := &Engine{opts: o, flows: newFlowTable(flowsMax), pit: new(pit), news: make(chan neighbour, 256),
		fresh: make(chan struct{}, 1), stopped: make(chan struct{}), began: time.Now()}
	for range o.Threads {
		e.counts = append(e.counts, new(counts))
	}
	return e
}

// forwarder is that of thread i.
func (e *Engine) forwarder(i int) *Forwarder {
	return &Forwarder{flows: e.flows, pit: e.pit, counts: e.counts[i]}
}

// now is the time of the forwarders.
func (e *Engine) now() int64 { return int64(time.Since(e.began)) }

// Configure makes c what is forwarded from now on. Flows that are known stay where they are. On error nothing has
// changed. It returns soon.
func (e *Engine) Configure(c Config) error {
	c.VIPs, c.Servers = slices.Clone(c.VIPs), slices.Clone(c.Servers)
	for i := range c.VIPs {
		c.VIPs[i].Addr = c.VIPs[i].Addr.Unmap().WithZone("")
	}
	for i := range c.Servers {
		c.Servers[i].Addr = c.Servers[i].Addr.Unmap().WithZone("")
	}
	if err := c.check(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("closed")
	}
	sameVIPs := slices.Equal(c.VIPs, e.config.VIPs) && (c.Tarpit == nil) == (e.config.Tarpit == nil) &&
		(c.Permit == nil) == (e.config.Permit == nil) && c.Tarpit6 == e.config.Tarpit6
	if !sameVIPs {
		if err := e.nic.update(&c); err != nil {
			return err
		}
	}
	e.collect()
	if err := e.hood.set(c.Servers); err != nil {
		if !sameVIPs {
			err = errors.Join(err, e.nic.update(&e.config)) // as before
		}
		return err
	}
	before := e.config.VIPs
	e.config = c
	if !sameVIPs {
		e.renumber(before)
	}
	if err := e.refresh(); err != nil {
		e.opts.Logf("dsr: %v", err)
	}
	if e.hood.again(e.ask) {
		select {
		case e.fresh <- struct{}{}:
		default:
		}
	}
	e.publish()
	if e.opts.Announce {
		for _, v := range c.VIPs {
			if !slices.ContainsFunc(before, func(b VIP) bool { return b.Addr == v.Addr }) {
				e.announce(v.Addr)
			}
		}
	}
	return nil
}

// renumber carries the counts of VIPs over to their new places. What a thread counts by the old numbers meanwhile, a
// batch at most, goes to the VIP that has the number now.
func (e *Engine) renumber(before []VIP) {
	now := make([]Traffic, len(e.config.VIPs))
	for i, v := range e.config.VIPs {
		if j := slices.Index(before, v); j >= 0 {
			now[i] = e.vips[j]
		}
	}
	e.vips = now
}

// publish makes tables of the present state. The caller holds mu.
func (e *Engine) publish() {
	t := &tables{mac: e.nic.mac(), vips: vipTable(e.config.VIPs), servers: e.hood.targets(), outer: e.config.Sources.numbers(), config: e.config,
		tarpit: e.config.Tarpit != nil, own: make(map[wire.Addr]bool)}
	for _, a := range e.own {
		t.own[a] = true
	}
	for a := range e.hood.byAddr {
		t.own[a] = true
	}
	shares := e.hood.shares()
	if before := e.tables.Load(); before != nil && slices.Equal(shares, e.shares) {
		t.slots = before.slots
	} else {
		t.slots = new([Slots]uint16)
		fill(t.slots, shares)
		e.shares = shares
	}
	e.tables.Store(t)
	err := e.nic.publish(t)
	if err != nil && !e.behind {
		e.opts.Logf("dsr: %v", err)
	}
	e.behind = err != nil
}

// refresh reads what the kernel knows. The caller holds mu.
func (e *Engine) refresh() error {
	static, err := e.nic.refresh()
	e.own = e.nic.own()
	for _, lost := range e.hood.tunnels(e.nic.way) {
		e.opts.Logf("dsr: %v", lost)
	}
	e.hood.setStatic(static)
	return err
}

// ask asks where a server is. The caller holds mu.
func (e *Engine) ask(whom wire.Addr, mac wire.MAC) {
	// What does not go out is asked again at the next turn.
	_ = e.nic.send(ask(e.ownFrame[:], e.nic.mac(), e.nic.source(whom), whom, mac))
}

func (e *Engine) announce(vip netip.Addr) {
	if err := e.nic.send(announce(e.ownFrame[:], e.nic.mac(), wire.AddrFrom(vip))); err != nil {
		e.opts.Logf("dsr: announce %v: %v", vip, err)
	}
}

// Run forwards until Stop. It may be called once.
func (e *Engine) Run() error {
	var wg sync.WaitGroup
	wg.Go(e.watch)
	err := e.nic.run()
	e.Stop()
	wg.Wait()
	return err
}

// Stop lets Run return.
func (e *Engine) Stop() {
	e.stopOnce.Do(func() {
		close(e.stopped)
		e.nic.stop()
	})
}

// Close frees the sockets. Run must have returned, or not have been called.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.collect()
	e.counts = e.counts[:e.opts.Threads] // those of the kernel go with its maps
	return e.nic.close()
}

// collect adds up what the threads have counted. The caller holds mu.
func (e *Engine) collect() {
	for _, c := range e.counts {
		for i := range e.hood.members {
			e.hood.members[i].total.take(&c.servers[i])
		}
		for i := range e.vips {
			e.vips[i].take(&c.vips[i])
		}
	}
}

// Stats is how things are now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.collect()
	var s Stats
	s.Lost, s.Reopened = e.nic.lost()
	for i := range e.hood.members {
		if m := &e.hood.members[i]; m.used {
			sv := ServerStats{Traffic: m.total, Addr: m.addr.Netip(), ID: m.id, MAC: m.mac, Alive: m.alive, Chosen: m.chosen}
			if m.tunnel && m.wayless == "" {
				sv.Via, sv.MTU = m.via.Netip(), m.mtu
			}
			s.Servers = append(s.Servers, sv)
		}
	}
	for i, v := range e.config.VIPs {
		s.VIPs = append(s.VIPs, VIPStats{e.vips[i], v})
	}
	var sums [verdicts]uint64
	for _, c := range e.counts {
		for v := range sums {
			sums[v] += c.verdicts[v].Load()
		}
	}
	s.Answered = sums[Answered]
	for v := DropTruncated; v < verdicts; v++ {
		if sums[v] > 0 {
			s.Drops = append(s.Drops, Drop{causes[v], sums[v]})
		}
	}
	return s
}

// Drain calls f with what has been forwarded to each server since the last call.
func (e *Engine) Drain(f func(id int, t Traffic)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.collect()
	for i := range e.hood.members {
		m := &e.hood.members[i]
		if m.total != m.drained {
			f(m.id, Traffic{m.total.Packets - m.drained.Packets, m.total.Bytes - m.drained.Bytes})
			m.drained = m.total
		}
	}
}

// Threads is how many forward.
func (e *Engine) Threads() int { return e.opts.Threads }

// Lack is something that the engine has to do without.
type Lack struct{ Name, Reason string }

// Features are what works, and what does not, for an operator.
func (e *Engine) Features() (works []string, lacks []Lack) {
	works, lacks = e.nic.features()
	if _, why := e.forwards(); why != "" {
		wanted := e.opts.Mode
		if wanted == Auto {
			wanted = TC
		}
		lacks = append(lacks, Lack{string(wanted), why})
	}
	return works, lacks
}
