package dsr

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
)

// permanent are the neighbours on interface index that the administrator has told the kernel for good (ip neigh add …
// nud permanent). It needs no privilege; see rtnetlink(7).
func permanent(index int) (map[wire.Addr]wire.MAC, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETNEIGH, unix.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("neighbours", err)
	}
	msgs, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, os.NewSyscallError("neighbours", err)
	}
	known := make(map[wire.Addr]wire.MAC)
	for _, m := range msgs {
		// struct ndmsg: family, padding, interface, state, flags, type.
		b := m.Data
		if m.Header.Type != unix.RTM_NEWNEIGH || len(b) < unix.SizeofNdMsg {
			continue
		}
		if int(int32(binary.NativeEndian.Uint32(b[4:]))) != index || binary.NativeEndian.Uint16(b[8:])&unix.NUD_PERMANENT == 0 {
			continue
		}
		if a, mac, ok := neighbourAttrs(b[unix.SizeofNdMsg:]); ok {
			known[a] = mac
		}
	}
	return known, nil
}

func neighbourAttrs(b []byte) (a wire.Addr, mac wire.MAC, ok bool) {
	var haveAddr, haveMAC bool
	attrs(b, func(kind uint16, v []byte) {
		switch {
		case kind == unix.NDA_DST && len(v) == 4:
			a, haveAddr = wire.AddrFrom4(v), true
		case kind == unix.NDA_DST && len(v) == 16:
			a, haveAddr = wire.Addr(v), true
		case kind == unix.NDA_LLADDR && len(v) == len(mac):
			mac, haveMAC = wire.MAC(v), true
		}
	})
	return a, mac, haveAddr && haveMAC
}
