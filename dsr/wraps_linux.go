package dsr

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
)

// wrapsBytes is the room for frames that go through tunnels, at least one of 64 KB.
const wrapsBytes = 128 << 10

// wraps are frames of our own making that go through tunnels. They are complete: struct virtio_net_hdr cannot say how to
// cut the packet in a packet, nor has every network card that finishes checksums a way to find that of the inner one.
type wraps struct {
	room []byte // frames, each behind vnetLen zeros
	used int
	out  []mmsghdr
	io   []unix.Iovec
	n    int // messages in out
}

func newWraps() *wraps {
	w := &wraps{room: make([]byte, wrapsBytes), out: make([]mmsghdr, MaxBatch), io: make([]unix.Iovec, MaxBatch)}
	for i := range w.out {
		w.out[i].Iov = &w.io[i]
		w.out[i].SetIovlen(1)
	}
	return w
}

// Fields of struct virtio_net_hdr, which is in the byte order of the machine (linux/virtio_net.h).
const (
	vnetFlags      = 0
	vnetNeedsCsum  = 1
	vnetKind       = 1
	vnetTCP4       = 1
	vnetTCP6       = 4
	vnetUDP        = 5
	vnetECN        = 0x80 // beside vnetTCP4 or vnetTCP6
	vnetSegment    = 4
	vnetCsumStart  = 6
	vnetCsumOffset = 8
)

// offloadOf is what struct virtio_net_hdr before a frame without tags says.
func offloadOf(b []byte) (o offload) {
	switch b[vnetKind] &^ vnetECN {
	case vnetTCP4, vnetTCP6, vnetUDP:
		o.segment = int(binary.NativeEndian.Uint16(b[vnetSegment:]))
	}
	if b[vnetFlags]&vnetNeedsCsum != 0 {
		o.start = int(binary.NativeEndian.Uint16(b[vnetCsumStart:])) - wire.EthernetLen
		o.sum = o.start + int(binary.NativeEndian.Uint16(b[vnetCsumOffset:]))
	}
	return o
}

// wrap sends packet through the tunnel that the forwarder has just told, soon.
func (k *worker) wrap(packet []byte, left offload) {
	w := k.wraps
	for c := newCut(&k.fwd.tunnel, packet, left); ; {
		if w.n == len(w.out) || len(w.room)-w.used < vnetLen+c.longest() {
			k.transmitWraps()
		}
		b := w.room[w.used:]
		clear(b[:vnetLen])
		frame := c.next(b[vnetLen:])
		if frame == nil {
			return
		}
		w.io[w.n].Base = &b[0]
		w.io[w.n].SetLen(vnetLen + len(frame))
		w.used += vnetLen + len(frame)
		w.n++
	}
}

// transmitWraps sends what wrap has made.
func (k *worker) transmitWraps() {
	w := k.wraps
	k.transmit(w.out[:w.n])
	w.n, w.used = 0, 0
}
