package dsr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
)

// wired is the link on Linux: a packet socket per thread, and a program behind them that keeps the host's own stack
// out.
//
//	interface ──► packet sockets (fanout by flow) ──► threads ──► the same sockets ──► interface
//	          └─► tcx: drops what the sockets have seen and forward
type wired struct {
	// constant after Open
	index   int
	address wire.MAC
	name    string
	workers []*worker
	control int // packet socket for our own frames; receives nothing
	netlink *netlink
	wake    int // eventfd, readable once the threads shall end
	drop    *tapDrop
	noDrop  error   // why there is no drop
	kernel  *kernel // nil: frames are forwarded by the threads
	passed  []Lack  // programs that did not work

	losses   atomic.Uint64 // frames whose end the queue of a socket had no room for, so far
	reopened atomic.Uint64 // rings, so far
	stopping atomic.Bool

	// used by one goroutine at a time
	multicast bool // all of it is taken
	groups    int  // socket that holds the multicast memberships; -1: none
	prefixes  []netip.Prefix
	machine   []wire.Addr
	mtu       int // of the interface
}

// Open makes an engine that forwards nothing until Configure and Run. It needs CAP_NET_RAW, and for what makes it
// better CAP_NET_ADMIN and CAP_BPF: a large receive buffer, and the drop behind the sockets. None of them is needed
// any more afterwards. Needs Linux 4.20; see packet(7).
func Open(o Options) (_ *Engine, err error) {
	ifi, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", o.Interface, err)
	}
	if len(ifi.HardwareAddr) != len(wire.MAC{}) {
		return nil, fmt.Errorf("interface %s: not Ethernet", o.Interface)
	}
	w := &wired{index: ifi.Index, address: wire.MAC(ifi.HardwareAddr), name: o.Interface, control: -1, wake: -1, groups: -1}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if w.control, err = sender(w.index); err != nil {
		return nil, err
	}
	if w.netlink, err = openNetlink(); err != nil {
		return nil, err
	}
	e := newEngine(o)
	for i := range o.Threads {
		k, err := newWorker(w, e, e.forwarder(i), o.Batch)
		if err != nil {
			return nil, err
		}
		w.workers = append(w.workers, k)
	}
	rings := make(chan error, 1)
	go func() { rings <- w.openRings() }()
	before, err := w.openKernel(&o)
	if err = errors.Join(err, <-rings); err != nil {
		return nil, err
	}
	if err := w.fanout(); err != nil {
		return nil, err
	}
	e.hood.adopt(before)
	if w.kernel != nil {
		e.counts = append(e.counts, w.kernel.counts...)
	}
	if o.classic {
		w.noDrop = ebpf.ErrNotSupported // it would come before the filter
	} else {
		w.drop, w.noDrop = openTapDrop(w.index)
	}
	if _, err := w.refresh(); err != nil {
		return nil, err
	}
	e.own = w.own()
	e.nic = w
	e.publish()
	return e, nil
}

func (w *wired) mac() wire.MAC { return w.address }

func (w *wired) send(frame []byte) error {
	_, err := unix.Write(w.control, frame)
	return err
}

func (w *wired) stop() {
	w.stopping.Store(true)
	_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only if it is readable already
}

// openRings gives all threads their rings at once: each takes a while, see openRing.
func (w *wired) openRings() error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.workers))
	for i, k := range w.workers {
		wg.Go(func() { k.ring, errs[i] = openRing(k.fd) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *wired) lost() (frames, rings uint64) {
	frames = w.losses.Load()
	for _, k := range w.workers {
		frames += k.lost()
	}
	return frames, w.reopened.Load()
}

func (w *wired) features() (works []string, lacks []Lack) {
	lacks = append(lacks, w.passed...)
	works = []string{"vnet_hdr", "ignore_outgoing", "filter"}
	if len(w.workers) > 1 {
		works = append(works, "fanout")
	}
	if k := w.workers[0]; k.rcvbuf >= rcvbufBytes {
		works = append(works, "rcvbuf")
	} else {
		lacks = append(lacks, Lack{"rcvbuf", fmt.Sprintf("only %d bytes without CAP_NET_ADMIN; see net.core.rmem_max", k.rcvbuf)})
	}
	if w.kernel != nil {
		if _, ok := w.kernel.link.(*clsact); ok {
			lacks = append(lacks, Lack{"tcx", "a filter of clsact, which stays if pen is killed, instead; tcx needs Linux 6.6"})
		}
	}
	if w.drop != nil {
		works = append(works, "tcx_drop")
	} else {
		lacks = append(lacks, Lack{"tcx_drop", w.noDrop.Error()})
	}
	return works, lacks
}

func (w *wired) update(c *Config) error {
	// What XDP forwards does not come to the sockets; what it leaves to them does.
	take := w.kernel == nil || w.kernel.mode != TC || !inKernel(c)
	prog, err := filter(c.VIPs, take, c.Tarpit != nil, c.Tarpit6)
	if err != nil {
		return err
	}
	for _, k := range w.workers {
		if err := k.setFilter(prog); err != nil {
			return err
		}
	}
	if w.kernel != nil {
		if err := w.kernel.setVIPs(c.VIPs, w.machine); err != nil {
			return fmt.Errorf("virtual addresses in the kernel: %w", err)
		}
	}
	if w.drop != nil {
		if err := w.drop.set(dropKeys(c.VIPs, w.machine)); err != nil {
			return fmt.Errorf("drop behind the sockets: %w", err)
		}
	}
	if err := w.allMulticast(c.Tarpit != nil && c.Tarpit6); err != nil {
		return err
	}
	return w.join(c.VIPs)
}

// allMulticast lets the questions for any address through to us: a tarpit has too many to join their groups.
func (w *wired) allMulticast(on bool) error {
	if on == w.multicast {
		return nil
	}
	change := unix.PACKET_DROP_MEMBERSHIP
	if on {
		change = unix.PACKET_ADD_MEMBERSHIP
	}
	m := unix.PacketMreq{Ifindex: int32(w.index), Type: unix.PACKET_MR_ALLMULTI}
	if err := unix.SetsockoptPacketMreq(w.control, unix.SOL_PACKET, change, &m); err != nil {
		return fmt.Errorf("multicast of %s: %w", w.name, err)
	}
	w.multicast = on
	return nil
}

// join becomes a member of the groups in which the VIPs are asked for, so that network cards and switches let the
// questions through to us (RFC 4861, 7.2.1).
func (w *wired) join(vips []VIP) error {
	fd := -1
	for _, v := range vips {
		if !v.Addr.Is6() {
			continue
		}
		if fd < 0 {
			var err error
			if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return fmt.Errorf("IPv6: %w", err)
			}
		}
		a := wire.AddrFrom(v.Addr)
		m := unix.IPv6Mreq{Multiaddr: a.SolicitedNode(), Interface: uint32(w.index)}
		err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &m)
		if err != nil && !errors.Is(err, unix.EADDRINUSE) { // two addresses can have one group
			unix.Close(fd)
			return fmt.Errorf("join the group of %v: %w", v.Addr, err)
		}
	}
	if w.groups >= 0 {
		unix.Close(w.groups)
	}
	w.groups = fd
	return nil
}

// refresh implements nic.
func (w *wired) refresh() (map[wire.Addr]wire.MAC, error) {
	ifi, err := net.InterfaceByIndex(w.index)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", w.name, err)
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", w.name, err)
	}
	if w.mtu, err = w.netlink.mtu(w.index); err != nil {
		return nil, err
	}
	w.prefixes = w.prefixes[:0]
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			w.prefixes = append(w.prefixes, p)
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	w.machine = w.machine[:0]
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			w.machine = append(w.machine, wire.AddrFrom(p.Addr()))
		}
	}
	return permanent(w.index)
}

func (w *wired) own() []wire.Addr { return append([]wire.Addr(nil), w.machine...) }

// source is our address in the network of whom, else any of the family; for IPv6 rather the one of the link.
func (w *wired) source(whom wire.Addr) wire.Addr {
	target, is4 := whom.Netip(), whom.Is4()
	best := wire.Addr{}
	if is4 {
		best = wire.AddrFrom(netip.IPv4Unspecified())
	}
	for _, p := range w.prefixes {
		switch {
		case p.Addr().Is4() != is4:
		case p.Masked().Contains(target):
			return wire.AddrFrom(p.Addr())
		case best.Unspecified() || p.Addr().IsLinkLocalUnicast():
			best = wire.AddrFrom(p.Addr())
		}
	}
	return best
}

func (w *wired) close() error {
	var errs []error
	if w.kernel != nil {
		errs = append(errs, w.kernel.close())
	}
	if w.drop != nil {
		errs = append(errs, w.drop.close())
	}
	for _, k := range w.workers {
		if k.ring != nil { // else it has never been opened
			errs = append(errs, k.ring.close())
		}
		errs = append(errs, unix.Close(k.fd))
	}
	if w.netlink != nil {
		errs = append(errs, w.netlink.close())
	}
	for _, fd := range []int{w.control, w.wake, w.groups} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}
