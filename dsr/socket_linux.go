package dsr

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rcvbufBytes is the least receive buffer, for what does not fit the ring: it lasts for 200 frames of 64 KB while the
// thread is not running.
const rcvbufBytes = 16 << 20

// vnetLen is the length of struct virtio_net_hdr, which stands before each frame: what the sender has left to the
// network card, and the card at the other end shall do (linux/virtio_net.h).
const vnetLen = 10

// sender opens the socket for our own frames, which are complete. It receives nothing.
func sender(index int) (int, error) {
	fd, err := rawSocket()
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func rawSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w; it needs root or CAP_NET_RAW", os.NewSyscallError("socket", err))
	}
	return fd, nil
}

// receiver opens the socket of a thread, which yields nothing until it has its ring and its filter. It is bound to all
// protocols, because only such sockets see a frame before a program at tcx drops it.
func receiver(index int) (fd, rcvbuf int, err error) {
	if fd, err = rawSocket(); err != nil {
		return -1, 0, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	set := func(what string, level, name, value int) {
		if err == nil {
			if e := unix.SetsockoptInt(fd, level, name, value); e != nil {
				err = fmt.Errorf("packet socket: %s: %w", what, e)
			}
		}
	}
	// PACKET_QDISC_BYPASS is left alone: with it the kernel drops a frame that has to be segmented in software
	// (__dev_direct_xmit in net/core/dev.c), as happens where the interface has no TSO.
	set("PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	set("PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err != nil {
		return -1, 0, err
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvbufBytes) != nil {
		// Without CAP_NET_ADMIN net.core.rmem_max is the most.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbufBytes)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, rcvbufBytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, rcvbufBytes)
	}
	// A send waits for room, so that a burst is not lost; not for ever, for the interface may be stuck.
	wait := unix.NsecToTimeval(int64(sendWait))
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait); err != nil {
		return -1, 0, os.NewSyscallError("SO_SNDTIMEO", err)
	}
	if err = attach(fd, nothing); err != nil {
		return -1, 0, err
	}
	sa := &unix.SockaddrLinklayer{Protocol: allProtocols(), Ifindex: index}
	if err = unix.Bind(fd, sa); err != nil {
		return -1, 0, os.NewSyscallError("bind", err)
	}
	if rcvbuf, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return -1, 0, os.NewSyscallError("SO_RCVBUF", err)
	}
	return fd, rcvbuf, nil
}

// allProtocols is ETH_P_ALL in network order.
func allProtocols() uint16 {
	var big [2]byte
	binary.BigEndian.PutUint16(big[:], unix.ETH_P_ALL)
	return binary.NativeEndian.Uint16(big[:])
}

// fanout spreads the flows over the threads.
func (w *wired) fanout() error {
	if len(w.workers) < 2 {
		return nil
	}
	// The kernel finds a number that no other program uses, for the first; the rest join it.
	const flags = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	arg := (flags | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
	for i, k := range w.workers {
		if err := unix.SetsockoptInt(k.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, arg); err != nil {
			return os.NewSyscallError("PACKET_FANOUT", err)
		}
		if i == 0 {
			got, err := unix.GetsockoptInt(k.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
			if err != nil {
				return os.NewSyscallError("PACKET_FANOUT", err)
			}
			arg = got&0xffff | flags<<16
		}
	}
	return nil
}

// mmsghdr is struct mmsghdr of recvmmsg(2): its alignment makes it as long as in C on every machine.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received
}

// mmsg is recvmmsg(2) or sendmmsg(2): the number of messages moved.
func mmsg(call uintptr, fd int, msgs []mmsghdr, flags int) (int, error) {
	n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
