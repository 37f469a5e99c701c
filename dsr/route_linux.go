package dsr

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
)

// route is where the kernel sends packets to an address.
type route struct {
	index int       // of the interface
	via   wire.Addr // the router, or the address itself if it is on the link
	mtu   int       // of the route alone; 0: it says nothing
}

// leastMTU is the longest packet that every link takes (RFC 791).
const leastMTU = 68

// route asks for the way to an address. It needs no privilege.
func (n *netlink) route(to wire.Addr) (route, error) {
	var m [unix.SizeofRtMsg]byte // struct rtmsg
	m[0], m[1] = unix.AF_INET6, 128
	if to.Is4() {
		m[0], m[1] = unix.AF_INET, 32
	}
	b, err := n.request(unix.RTM_GETROUTE, 0, attr(m[:], unix.RTA_DST, to.Bytes()))
	if err != nil {
		return route{}, fmt.Errorf("no route: %w", err)
	}
	if len(b) < unix.SizeofRtMsg || b[7] != unix.RTN_UNICAST {
		return route{}, fmt.Errorf("no route to another machine")
	}
	r := route{via: to}
	address := func(v []byte) {
		switch len(v) {
		case 4:
			r.via = wire.AddrFrom4(v)
		case 16:
			r.via = wire.Addr(v)
		}
	}
	attrs(b[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unix.RTA_OIF && len(v) == 4:
			r.index = int(binary.NativeEndian.Uint32(v))
		case kind == unix.RTA_GATEWAY:
			address(v)
		case kind == unix.RTA_VIA && len(v) > 2: // struct rtvia: a router of the other family
			address(v[2:])
		case kind == unix.RTA_METRICS:
			attrs(v, func(kind uint16, v []byte) {
				if kind == unix.RTAX_MTU && len(v) == 4 {
					r.mtu = int(binary.NativeEndian.Uint32(v))
				}
			})
		}
	})
	return r, nil
}

// mtu is the longest packet that an interface takes.
func (n *netlink) mtu(index int) (mtu int, err error) {
	var m [unix.SizeofIfInfomsg]byte // struct ifinfomsg
	binary.NativeEndian.PutUint32(m[4:], uint32(index))
	b, err := n.request(unix.RTM_GETLINK, 0, m[:])
	if err != nil || len(b) < unix.SizeofIfInfomsg {
		return 0, fmt.Errorf("interface: %w", err)
	}
	attrs(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		if kind == unix.IFLA_MTU && len(v) == 4 {
			mtu = int(binary.NativeEndian.Uint32(v))
		}
	})
	return mtu, nil
}

// way implements nic.
func (w *wired) way(end wire.Addr) (way, error) {
	r, err := w.netlink.route(end)
	if err != nil {
		return way{}, err
	}
	if r.index != w.index {
		return way{}, fmt.Errorf("the route does not lead over %s", w.name)
	}
	mtu := w.mtu
	if r.mtu > 0 {
		mtu = min(mtu, r.mtu)
	}
	outer := wire.IPv6Len
	if end.Is4() {
		outer = wire.IPv4Len
	}
	return way{via: r.via, mtu: max(mtu, leastMTU+outer) - outer}, nil
}
