package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// stdin ends when the harness goes away, and the workers with it.
const stdin = 0

// answer is one connection of the backend.
type answer struct {
	out    uint64 // bytes of replies still to write
	left   uint32 // bytes of the request still to come, after its header
	reply  uint32
	filled int // bytes of head that have arrived
	head   [HeaderBytes]byte
	mode   answerMode
}

type answerMode uint8

const (
	replies answerMode = iota // requests and replies
	source                    // writes until the peer goes away
	sink                      // reads until the peer goes away
)

// backend answers on every connection of one listener.
type backend struct {
	poll      *poller
	listener  int32
	datagrams *sock.DatagramSocket
	batch     *sock.Batch
	conns     []answer // by descriptor
	buf       []byte
	zeros     []byte
	counted   uint64 // datagrams without an answer
}

// Serve listens on addr (port 0: any), writes the address and a newline to ready, and answers until standard input
// ends. It occupies the calling thread.
func Serve(addr netip.AddrPort, ready io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := &backend{buf: make([]byte, chunkBytes), zeros: make([]byte, chunkBytes)}
	bound, err := b.listen(addr)
	if err != nil {
		return fmt.Errorf("listen %v: %w", addr, err)
	}
	defer closeFD(b.listener)
	if b.poll, err = newPoller(); err != nil {
		return err
	}
	defer b.poll.close()
	if err := b.listenDatagrams(bound); err != nil {
		return err
	}
	defer b.datagrams.Close()
	if err := errors.Join(b.poll.add(b.listener, readable), b.poll.add(int32(b.datagrams.FD()), readable), b.poll.add(stdin, readable)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(ready, bound); err != nil {
		return err
	}
	return b.run()
}

func (b *backend) listen(addr netip.AddrPort) (netip.AddrPort, error) {
	fd, err := streamSocket()
	if err != nil {
		return netip.AddrPort{}, err
	}
	if err := errors.Join(
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(int(fd), &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}),
		syscall.Listen(int(fd), 4096), // net.core.somaxconn's default
	); err != nil {
		closeFD(fd)
		return netip.AddrPort{}, err
	}
	name, err := syscall.Getsockname(int(fd))
	if err != nil {
		closeFD(fd)
		return netip.AddrPort{}, err
	}
	b.listener = fd
	sa := name.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
}

func (b *backend) run() error {
	for {
		events, err := b.poll.wait(-1)
		if err != nil {
			return err
		}
		for i := range events {
			ev := &events[i]
			switch ev.Fd {
			case stdin:
				return nil
			case int32(b.datagrams.FD()):
				b.answerDatagrams()
			case b.listener:
				if err := b.accept(); err != nil {
					return err
				}
			default:
				if !b.serve(ev.Fd, ev.Events) {
					closeFD(ev.Fd)
				}
			}
		}
	}
}

// accept takes the waiting connections, a few at a time so that the open ones are not starved.
func (b *backend) accept() error {
	for range 64 {
		fd, _, err := syscall.Accept4(int(b.listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		for len(b.conns) <= fd {
			b.conns = append(b.conns, answer{})
		}
		b.conns[fd] = answer{}
		if err := b.poll.add(int32(fd), both); err != nil {
			return err
		}
	}
	return nil
}

// serve handles one event; false means that the connection is over.
func (b *backend) serve(fd int32, events uint32) bool {
	c := &b.conns[fd]
	switch c.mode {
	case source:
		_, errno := write(fd, b.zeros)
		return errno == 0 || again(errno)
	case sink:
		n, errno := read(fd, b.buf)
		return n > 0 && errno == 0 || again(errno)
	}
	// Edge triggered: read until a read comes back short. Anything but a plain "writable" may hide the end.
	for events&^writable != 0 {
		n, errno := read(fd, b.buf)
		if errno != 0 {
			if !again(errno) {
				return false
			}
			break
		}
		if n == 0 || !b.take(fd, c, b.buf[:n]) {
			return false
		}
		if n < len(b.buf) && events&(syscall.EPOLLHUP|syscall.EPOLLERR|syscall.EPOLLRDHUP) == 0 {
			break
		}
	}
	return b.flush(fd, c)
}

// take consumes received bytes: headers, and the rest of requests. A broken header ends the connection.
func (b *backend) take(fd int32, c *answer, in []byte) bool {
	for len(in) > 0 && c.mode == replies {
		if c.filled < HeaderBytes {
			n := copy(c.head[c.filled:], in)
			c.filled += n
			in = in[n:]
			if c.filled < HeaderBytes {
				return true
			}
			var request uint32
			request, c.reply = header(c.head[:])
			switch {
			case request == endless:
				c.mode = sink
				return b.poll.set(fd, readable) == nil
			case request < HeaderBytes:
				return false
			case c.reply == endless:
				c.mode = source
				return b.poll.set(fd, writable) == nil
			}
			c.left = request - HeaderBytes
		}
		n := min(uint32(len(in)), c.left)
		c.left -= n
		in = in[n:]
		if c.left == 0 {
			c.out += uint64(c.reply)
			c.filled = 0
		}
	}
	return true
}

// flush writes what is owed until the socket is full.
func (b *backend) flush(fd int32, c *answer) bool {
	for c.out > 0 {
		n, errno := write(fd, b.zeros[:min(c.out, uint64(len(b.zeros)))])
		if errno != 0 {
			return again(errno)
		}
		c.out -= uint64(n)
	}
	return true
}
