package dsr

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/bpf"
)

// pins is what keeps forwarding while no process does: Options.Pin/INTERFACE in a BPF file system, with the maps by
// their names and the link by the name of the mode.
type pins struct {
	dir  string // empty: nothing is kept
	link attachment
}

// openPins looks for what an earlier process has left. Leavings of another interface, mode or layout of the tables are
// removed.
func openPins(o *Options, mode Mode, index int) (*pins, error) {
	if o.Pin == "" {
		return &pins{}, nil
	}
	p, err := pinsOf(o)
	if err != nil {
		return nil, err
	}
	if l, err := link.LoadPinnedLink(p.path(mode), nil); err == nil {
		if attachedTo(l) == index && current(p.dir) {
			p.link = l
			return p, nil
		}
		l.Close()
	} else if c := keptClsact(p.path(mode), index); c != nil {
		p.link = c
		if current(p.dir) {
			return p, nil
		}
	}
	return p, p.renew()
}

// renew begins with an empty directory.
func (p *pins) renew() error {
	if err := errors.Join(p.close(), p.remove()); err != nil {
		return err
	}
	return os.Mkdir(p.dir, 0o700)
}

// close gives up the link, which stays in the directory.
func (p *pins) close() error {
	l := p.link
	if p.link = nil; l == nil {
		return nil
	}
	return l.Close()
}

// pinsOf is the directory for o, which need not be there.
func pinsOf(o *Options) (*pins, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(o.Pin, &st); err != nil {
		return nil, fmt.Errorf("pin in %s: %w", o.Pin, err)
	}
	if uint32(st.Type) != unix.BPF_FS_MAGIC {
		return nil, fmt.Errorf("pin in %s: not in a BPF file system (mount -t bpf bpf /sys/fs/bpf)", o.Pin)
	}
	return &pins{dir: filepath.Join(o.Pin, o.Interface)}, nil
}

func (p *pins) path(mode Mode) string { return filepath.Join(p.dir, string(mode)) }

// kept reports whether forwarding goes on.
func (p *pins) kept() bool { return p.link != nil }

// attachedTo is the interface of l, 0 if it has gone.
func attachedTo(l link.Link) int {
	info, err := l.Info()
	if err != nil {
		return 0
	}
	if t := info.TCX(); t != nil {
		return int(t.Ifindex)
	}
	if x := info.XDP(); x != nil {
		return int(x.Ifindex)
	}
	return 0
}

// current reports whether the table in dir is such as we make; the maps themselves are compared when they are loaded.
func current(dir string) bool {
	tables, err := ebpf.LoadPinnedMap(filepath.Join(dir, bpf.Tables), nil)
	if err != nil {
		return false
	}
	defer tables.Close()
	var m *ebpf.Map
	if err := tables.Lookup(uint32(0), &m); err != nil {
		return false
	}
	defer m.Close()
	return uintptr(m.ValueSize()) == unsafe.Sizeof(kernelTable{})
}

// remove removes the directory: so forwarding ends if nobody else holds the link.
func (p *pins) remove() error {
	list, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := os.Remove(filepath.Join(p.dir, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(p.dir)
}

// attach puts k on the interface: in the place of the program that is there, between two frames, or anew.
func (p *pins) attach(k *kernel, index int, classic bool) error {
	if p.link != nil {
		k.link, p.link = p.link, nil
		return k.link.Update(k.prog)
	}
	if err := k.attach(index, classic); err != nil || p.dir == "" {
		return err
	}
	return k.link.Pin(p.path(k.mode))
}

// kept are the servers in the table that the program works with, by number: so flows find theirs again. They are
// chosen only once they are configured.
func (k *kernel) kept() ([]member, error) {
	var m *ebpf.Map
	if err := k.tables.Lookup(uint32(0), &m); err != nil {
		return nil, err
	}
	defer m.Close()
	var t kernelTable
	room := unsafe.Slice((*byte)(unsafe.Pointer(&t)), unsafe.Sizeof(t))
	if err := m.Lookup(uint32(0), room); err != nil {
		return nil, err
	}
	var list []member
	for i, s := range t.Servers {
		if s.Generation == 0 {
			break // numbers are given one after the other
		}
		list = append(list, member{generation: s.Generation})
		if s.Flags&targetAlive != 0 {
			list[i].addr, list[i].mac, list[i].used, list[i].alive = s.Addr, s.MAC, true, true
			if list[i].tunnel = s.Flags&targetTunnel != 0; !list[i].tunnel {
				list[i].via = s.Addr
			}
		}
	}
	return list, nil
}
