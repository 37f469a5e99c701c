package dsr

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel reserves a slot of the ring before it knows whether struct virtio_net_hdr can tell what is left to the network
// card, and does not give it back if not (tpacket_rcv in net/packet/af_packet.c, -EINVAL of virtio_net_hdr_from_skb). So a
// single frame stops the ring for good, such as a UDP datagram of a virtual machine that is to be cut into fragments
// (VIRTIO_NET_HDR_GSO_UDP). No filter can tell such frames from others; the ring is opened anew.

// stallAfter is how long a thread waits for frames before it looks whether its ring has stopped. It has if it stays so for
// that long again while frames are dropped.
const stallAfter = 250 * time.Millisecond

// quiet is how things were when a thread had nothing to do.
type quiet struct {
	next  int    // slot of the ring
	drops uint64 // so far
}

// stalled reports whether frames have been dropped, since it was called last, though all slots are free. It is called when
// stallAfter has passed without frames.
func (k *worker) stalled() bool {
	before := k.seen
	k.seen = quiet{k.ring.next, k.lost()}
	return k.seen.drops > before.drops && k.seen.next == before.next
}

// reopen opens the ring anew, over and over if there is no memory for it, until it is there or the link is stopped.
func (k *worker) reopen() {
	if k.link.reopened.Add(1) == 1 {
		k.engine.opts.Logf("dsr: a frame whose segmentation the kernel cannot describe has stopped a ring of %s; it is opened anew, "+
			"as others will be", k.link.name)
	}
	for failed := false; !k.link.stopping.Load(); failed = true {
		err := k.ring.reopen()
		if err == nil {
			return
		}
		if !failed {
			k.engine.opts.Logf("dsr: open a ring of %s anew: %v", k.link.name, err)
		}
		wake := []unix.PollFd{{Fd: int32(k.link.wake), Events: unix.POLLIN}}
		_, _ = unix.Poll(wake, int(stallAfter.Milliseconds())) // sooner is no harm
	}
}

// lost is how many frames the socket had no room for. It may be called by any thread.
func (k *worker) lost() uint64 {
	var stats struct{ packets, drops uint32 } // struct tpacket_stats, which reading resets
	size := uint32(unsafe.Sizeof(stats))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(k.fd), unix.SOL_PACKET, unix.PACKET_STATISTICS,
		uintptr(unsafe.Pointer(&stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return k.drops.Load()
	}
	return k.drops.Add(uint64(stats.drops))
}
