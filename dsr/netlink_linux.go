package dsr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// netlink asks the kernel about its network, in the namespace where it was opened; see netlink(7) and rtnetlink(7).
// One goroutine at a time may use it.
type netlink struct {
	fd   int
	seq  uint32
	room [32 << 10]byte // the kernel sends no longer message unless asked with a longer buffer
}

// netlinkWait is how long an answer may take; the kernel has it at once.
const netlinkWait = 2e9

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", os.NewSyscallError("socket", err))
	}
	wait := unix.NsecToTimeval(netlinkWait)
	err = errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() error { return unix.Close(n.fd) }

// request sends a message and returns the body of the answer, which is valid until the next one, or nil if the kernel has
// only acknowledged (NLM_F_ACK). The error is what the kernel says.
func (n *netlink) request(kind, flags uint16, body []byte) ([]byte, error) {
	n.seq++
	m := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(m, uint32(cap(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(m[8:], n.seq)
	if err := unix.Sendto(n.fd, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	for {
		got, from, err := unix.Recvfrom(n.fd, n.room[:], 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("netlink", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 || got < unix.SizeofNlMsghdr {
			continue // not from the kernel
		}
		b := n.room[:got]
		if length := int(binary.NativeEndian.Uint32(b)); length >= unix.SizeofNlMsghdr && length <= got {
			b = b[:length]
		}
		if binary.NativeEndian.Uint32(b[8:]) != n.seq {
			continue // the answer to a request that took too long
		}
		answer := b[unix.SizeofNlMsghdr:]
		if binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
			return answer, nil
		}
		if len(answer) < 4 {
			return nil, unix.EPROTO
		}
		if errno := -int32(binary.NativeEndian.Uint32(answer)); errno != 0 {
			return nil, unix.Errno(errno)
		}
		return nil, nil
	}
}

// nlaType leaves of the kind of an attribute out whether it is nested, and the byte order.
const nlaType = 0x3fff

// attr appends an attribute to the body of a message.
func attr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// attrs calls f with each of the attributes at b, as long as they are well-formed.
func attrs(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&nlaType, b[unix.SizeofRtAttr:n])
		b = b[min((n+3)&^3, len(b)):] // aligned to 4 bytes
	}
}
