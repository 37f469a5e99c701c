package dsr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/bpf"
	"github.com/penlb/pen/dsr/wire"
)

// kernel is a program that forwards frames before they come to the host's stack, with the tables of the forwarder:
// see bpf/dsr.c. What it passes on is for the packet sockets.
type kernel struct {
	mode   Mode
	coll   *ebpf.Collection
	prog   *ebpf.Program
	vips   *ebpf.Map    // vipKey → kernelVIP
	tables *ebpf.Map    // one map of one kernelTable
	spare  [2]*ebpf.Map // kernelTable each, used in turn
	link   attachment
	memory []byte    // the counts, shared with the program
	counts []*counts // in memory, one per processor

	// used by one goroutine at a time
	table kernelTable // the last one published
	begun bool        // there is one
}

// kernelTable is struct table of dsr.c.
type kernelTable struct {
	MAC     wire.MAC
	Flags   uint16
	Outer   outerSources
	Servers [MaxServers]target
	Slots   [Slots]uint16
	_       [3]uint16
}

// kernelVIP is struct vip of dsr.c.
type kernelVIP struct {
	Number uint32 // position in Config.VIPs, with vipLocal
	Port   uint16 // for the key of an address: the only one that Protos is about, or 0
	Protos Protocol
	_      uint8
}

// Flags of a kernelTable, and of the number of a VIP.
const (
	tableUser     = 1 << iota // nothing is forwarded in the kernel
	tableHashPort             // Config.HashPort
	vipLocal      = 1 << 31   // this machine has the address too
)

// newKernel loads the program of mode. pins is the directory that keeps its maps beyond this process; empty: none does.
func newKernel(mode Mode, pins string) (_ *kernel, err error) {
	read := bpf.TC
	if mode != TC {
		read = bpf.XDP
	}
	spec, err := read()
	if err != nil {
		return nil, err
	}
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	spec.Maps[bpf.Counts].MaxEntries = uint32(n)
	opts := ebpf.CollectionOptions{}
	if pins != "" {
		opts.Maps.PinPath = pins
		for _, m := range spec.Maps {
			m.Pinning = ebpf.PinByName
		}
	}
	k := &kernel{mode: mode}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	if k.coll, err = ebpf.NewCollectionWithOptions(spec, opts); err != nil {
		return nil, err
	}
	k.prog, k.vips, k.tables = k.coll.Programs[bpf.Program], k.coll.Maps[bpf.VIPs], k.coll.Maps[bpf.Tables]
	const each = int(unsafe.Sizeof(counts{}))
	k.memory, err = unix.Mmap(k.coll.Maps[bpf.Counts].FD(), 0, n*each, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map counts: %w", err)
	}
	for i := range k.spare { // now, since it needs rights that we may not have later
		if k.spare[i], err = ebpf.NewMap(spec.Maps[bpf.Tables].InnerMap); err != nil {
			return nil, err
		}
	}
	for i := range n {
		k.counts = append(k.counts, (*counts)(unsafe.Pointer(&k.memory[i*each])))
	}
	return k, nil
}

// attach puts the program on the interface. classic does without what Linux 6.6 has brought, as happens where that is
// not there.
func (k *kernel) attach(index int, classic bool) error {
	var l link.Link
	var err error
	switch k.mode {
	case XDP:
		l, err = link.AttachXDP(link.XDPOptions{Interface: index, Program: k.prog, Flags: link.XDPDriverMode})
	case XDPGeneric:
		l, err = link.AttachXDP(link.XDPOptions{Interface: index, Program: k.prog, Flags: link.XDPGenericMode})
	default:
		err = ebpf.ErrNotSupported
		if !classic {
			l, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: k.prog,
				Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
		}
		if errors.Is(err, ebpf.ErrNotSupported) {
			c, err := attachClsact(index, k.prog)
			if err == nil {
				k.link = c
			}
			return err
		}
	}
	if err == nil {
		k.link = l
	}
	return err
}

// setVIPs makes vips what the program looks at. machine are the addresses of this machine.
func (k *kernel) setVIPs(vips []VIP, machine []wire.Addr) error {
	wanted := kernelVIPs(vips, machine)
	var gone []vipKey
	var key vipKey
	var vip kernelVIP
	it := k.vips.Iterate()
	for it.Next(&key, &vip) {
		if _, ok := wanted[key]; !ok {
			gone = append(gone, key)
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	for key, vip := range wanted {
		if err := k.vips.Put(key, vip); err != nil {
			return fmt.Errorf("put %v: %w", key.Addr, err)
		}
	}
	for _, key := range gone {
		if err := k.vips.Delete(key); err != nil {
			return fmt.Errorf("delete %v: %w", key.Addr, err)
		}
	}
	return nil
}

// kernelVIPs is vipTable for the program.
func kernelVIPs(vips []VIP, machine []wire.Addr) map[vipKey]kernelVIP {
	m := map[vipKey]kernelVIP{}
	for key, number := range vipTable(vips) {
		vip := kernelVIP{Number: number}
		if v := vips[number]; key.Proto == anyOf && (v.Port != 0 || alone(vips, v.Addr)) {
			vip.Port, vip.Protos = v.Port, v.Proto
		}
		if slices.Contains(machine, key.Addr) {
			vip.Number |= vipLocal
		}
		m[key] = vip
	}
	return m
}

// alone reports whether only one of vips has the address.
func alone(vips []VIP, a netip.Addr) bool {
	n := 0
	for _, v := range vips {
		if v.Addr.Unmap() == a.Unmap() {
			n++
		}
	}
	return n == 1
}

// publish makes t what the program works with, as a whole.
func (k *kernel) publish(t *tables) error {
	next := kernelTable{MAC: t.mac, Outer: t.outer, Slots: *t.slots}
	if !inKernel(&t.config) {
		next.Flags |= tableUser
	}
	if t.config.HashPort {
		next.Flags |= tableHashPort
	}
	copy(next.Servers[:], t.servers)
	if k.begun && next == k.table {
		return nil
	}
	// Nobody uses it any more: when the other one took its place the kernel waited for the programs that did.
	m := k.spare[0]
	if err := m.Put(uint32(0), unsafe.Slice((*byte)(unsafe.Pointer(&next)), unsafe.Sizeof(next))); err != nil {
		return err
	}
	if err := k.tables.Put(uint32(0), m); err != nil {
		return err
	}
	k.spare[0], k.spare[1] = k.spare[1], m
	k.table, k.begun = next, true
	return nil
}

// publish implements nic. Tables that forward nothing are not worth it: what the program knows may be of use yet.
func (w *wired) publish(t *tables) error {
	if w.kernel == nil || len(t.config.VIPs) == 0 {
		return nil
	}
	if err := w.kernel.publish(t); err != nil {
		return fmt.Errorf("tables in the kernel: %w", err)
	}
	return nil
}

// mode implements nic.
func (w *wired) mode(c *Config) (Mode, string) {
	switch {
	case w.kernel == nil:
		return Packet, ""
	case !inKernel(c):
		return Packet, "clients are restricted by an access list"
	}
	return w.kernel.mode, ""
}

// inKernel reports whether the program can do what c wants: it knows no access lists.
func inKernel(c *Config) bool { return c.Permit == nil }

func (k *kernel) close() error {
	var errs []error
	if c, ok := k.link.(*clsact); ok && c.path == "" {
		errs = append(errs, k.setVIPs(nil, nil)) // we may not have the rights any more to take it away
	}
	if k.link != nil {
		errs = append(errs, k.link.Close())
	}
	if k.memory != nil {
		errs = append(errs, unix.Munmap(k.memory))
	}
	for _, m := range k.spare {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	if k.coll != nil {
		k.coll.Close()
	}
	return errors.Join(errs...)
}
