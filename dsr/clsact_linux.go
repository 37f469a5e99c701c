package dsr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// attachment is a program at an interface.
type attachment interface {
	// Update puts another program in the place of the one that is there, between two frames.
	Update(*ebpf.Program) error
	// Pin lets the attachment last beyond Close, by the name of a file in a BPF file system.
	Pin(path string) error
	// Close ends what is not pinned.
	Close() error
}

// clsact is a program at the ingress of an interface as it was done before Linux 6.6: a filter of the queueing discipline
// clsact (tc-bpf(8)). The filter is nobody's: it stays when a process ends without Close, until the next one finds it. The
// discipline stays for good, since others may use it.
type clsact struct {
	netlink *netlink
	index   int
	prog    *ebpf.Program // of the caller
	kept    *ebpf.Program // ours: of an earlier process, until Update
	path    string        // where the program is pinned; empty: nowhere
}

// Which filter is ours: numbers that nobody else is likely to have chosen.
const (
	clsactParent   = 0xfffffff1 // TC_H_CLSACT
	clsactHandle   = 0xffff0000
	ingressParent  = 0xfffffff2 // TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
	filterPriority = 112
	filterHandle   = 0x70656e
)

// Attributes of a filter by a program (linux/pkt_cls.h).
const (
	tcaBPFFD     = 6
	tcaBPFName   = 7
	tcaBPFFlags  = 8
	tcaBPFID     = 11
	actionDirect = 1 // what the program returns is the verdict
)

// attachClsact puts prog on the interface, in the place of one that an earlier process has left.
func attachClsact(index int, prog *ebpf.Program) (*clsact, error) {
	n, err := openNetlink()
	if err != nil {
		return nil, err
	}
	c := &clsact{netlink: n, index: index}
	m := attr(c.message(clsactHandle, clsactParent, 0), unix.TCA_KIND, []byte("clsact\x00"))
	_, err = n.request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, m)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, errors.Join(fmt.Errorf("clsact: %w", err), n.close())
	}
	if err := c.Update(prog); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return c, nil
}

// message is struct tcmsg.
func (c *clsact) message(handle, parent, info uint32) []byte {
	b := make([]byte, 4, 128)
	for _, v := range []uint32{uint32(c.index), handle, parent, info} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// filter is the beginning of each message about the filter.
func (c *clsact) filter() []byte {
	m := c.message(filterHandle, ingressParent, filterPriority<<16|uint32(allProtocols()))
	return attr(m, unix.TCA_KIND, []byte("bpf\x00"))
}

// Update implements attachment.
func (c *clsact) Update(prog *ebpf.Program) error {
	word := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	o := attr(nil, tcaBPFFD, word(uint32(prog.FD())))
	o = attr(o, tcaBPFName, []byte("pen_dsr\x00"))
	o = attr(o, tcaBPFFlags, word(actionDirect))
	m := attr(c.filter(), unix.TCA_OPTIONS|unix.NLA_F_NESTED, o)
	if _, err := c.netlink.request(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_ACK, m); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	c.prog = prog
	if c.kept == nil {
		return nil
	}
	err := errors.Join(c.kept.Close(), os.Remove(c.path))
	c.kept = nil
	return errors.Join(err, prog.Pin(c.path))
}

// Pin implements attachment. The file is the program: so the next process knows that the filter is of the same kind.
func (c *clsact) Pin(path string) error {
	c.path = path
	return c.prog.Pin(path)
}

// Close implements attachment. Without CAP_NET_ADMIN the filter stays.
func (c *clsact) Close() error {
	var err error
	if c.path == "" {
		_, err = c.netlink.request(unix.RTM_DELTFILTER, unix.NLM_F_ACK, c.filter())
		if errors.Is(err, unix.EPERM) {
			err = nil
		}
	}
	if c.kept != nil {
		err = errors.Join(err, c.kept.Close())
	}
	return errors.Join(err, c.netlink.close())
}

// attached is the number of the program in the filter, 0 if there is none.
func (c *clsact) attached() (id uint32) {
	b, err := c.netlink.request(unix.RTM_GETTFILTER, 0, c.filter())
	const head = 20 // struct tcmsg
	if err != nil || len(b) < head {
		return 0
	}
	attrs(b[head:], func(kind uint16, v []byte) {
		if kind == unix.TCA_OPTIONS {
			attrs(v, func(kind uint16, v []byte) {
				if kind == tcaBPFID && len(v) == 4 {
					id = binary.NativeEndian.Uint32(v)
				}
			})
		}
	})
	return id
}

// keptClsact is the filter of an earlier process that has pinned its program at path; nil if it is not there any more.
func keptClsact(path string, index int) *clsact {
	prog, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return nil
	}
	n, err := openNetlink()
	if err != nil {
		prog.Close()
		return nil
	}
	c := &clsact{netlink: n, index: index, kept: prog, path: path}
	info, err := prog.Info()
	if err == nil {
		if id, ok := info.ID(); ok && uint32(id) == c.attached() {
			return c
		}
	}
	c.Close()
	return nil
}

// removeClsact ends what a process has left that was killed, or kept on purpose.
func removeClsact(index int) {
	n, err := openNetlink()
	if err != nil {
		return // nor could it have been put there
	}
	c := &clsact{netlink: n, index: index}
	if c.attached() != 0 {
		_ = c.Close() // without rights there is none to forward beside it either
		return
	}
	n.close()
}
