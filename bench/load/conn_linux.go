package load

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

type connState uint8

const (
	closed     connState = iota
	connecting           // nothing was sent yet
	awaiting             // a request is out, and its reply incomplete
	parked               // open and without a request
	streaming            // Down and Up
	several              // Ask with a Depth
	flooding             // Flood
)

// conn is one connection of a group.
type conn struct {
	group   *group
	due     time.Duration // when the request under way was to start
	budget  budget        // of a paced reader
	sent    int           // bytes of the request
	got     int           // bytes of the reply
	state   connState
	first   bool // its first request, the one that counts as opening
	waiting bool // awaiting, and the request not wholly sent
	flights []flight
}

// errorsAllowed is how many connections may fail in a row before the client gives up.
const errorsAllowed = 1000

// connect starts a connection for a request that is due at due.
func (c *client) connect(g *group, due time.Duration) error {
	open := streamSocket
	switch {
	case g.Kind == AskOnce:
		open = c.freshSocket
	case g.datagrams():
		open = datagramSocket
	}
	fd, err := open()
	if err != nil {
		return err
	}
	for int(fd) >= len(c.conns) {
		c.conns = append(c.conns, conn{})
	}
	c.conns[fd] = conn{group: g, due: due, state: connecting, first: c.phase == opening}
	if err := syscall.Connect(int(fd), &c.target); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		closeFD(fd)
		c.conns[fd] = conn{}
		return fmt.Errorf("connect: %w", err)
	}
	return c.poll.add(fd, both)
}

// startGroup lets the opened connections of g work.
func (c *client) startGroup(g *group) error {
	now := c.now()
	g.schedule = schedule{}
	if g.asks() {
		g.schedule = newSchedule(now, g.Rate)
	}
	if g.short() {
		for range g.Conns {
			g.free = append(g.free, -1)
		}
	}
	if g.Kind == Flood {
		return c.openFlood(g)
	}
	if !g.asks() || g.schedule.open() {
		return nil
	}
	for _, fd := range g.free {
		if err := c.begin(g, fd, c.now()); err != nil {
			return err
		}
	}
	g.free = g.free[:0]
	return nil
}

// catchUp begins the requests of an open loop that are due, as far as connections are free.
func (c *client) catchUp(g *group, now time.Duration) error {
	for g.schedule.open() && len(g.free) > 0 && g.schedule.next() <= now {
		fd := g.free[len(g.free)-1]
		g.free = g.free[:len(g.free)-1]
		if err := c.begin(g, fd, g.schedule.take()); err != nil {
			return err
		}
	}
	return nil
}

// begin makes a request on fd, or on a new connection.
func (c *client) begin(g *group, fd int32, due time.Duration) error {
	if fd < 0 {
		return c.connect(g, due)
	}
	k := &c.conns[fd]
	if g.Depth > 1 {
		return c.beginSeveral(fd, k)
	}
	k.due, k.sent, k.got, k.state = due, 0, 0, awaiting
	return c.send(fd, k)
}

// send writes what is left of the request.
func (c *client) send(fd int32, k *conn) error {
	n, errno := write(fd, k.group.first[k.sent:])
	if errno != 0 {
		k.waiting = true
		if again(errno) {
			return nil
		}
		return c.fail(fd, k, errno)
	}
	k.sent += n
	k.waiting = k.sent < len(k.group.first)
	return nil
}

// handle acts on an event of a connection.
func (c *client) handle(fd int32, events uint32) error {
	k := &c.conns[fd]
	switch k.state {
	case closed:
		return nil // closed by an earlier event of the same batch
	case streaming:
		return c.stream(fd, k)
	case several:
		return c.receiveSeveral(fd, k)
	case flooding:
		return nil
	case connecting:
		if events&(syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
			return c.fail(fd, k, pending(fd))
		}
		if events&writable == 0 {
			return nil
		}
		if !k.group.asks() && k.group.Kind != Idle && k.group.Kind != Flood {
			return c.startStream(fd, k)
		}
		k.state = awaiting
		if err := c.send(fd, k); err != nil {
			return err
		}
	case awaiting:
		if k.waiting && events&writable != 0 {
			if err := c.send(fd, k); err != nil {
				return err
			}
		}
	}
	if k.state == closed || events&^writable == 0 {
		return nil
	}
	return c.receive(fd, k)
}

// pending is why a connect failed.
func pending(fd int32) syscall.Errno {
	if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR); err == nil && n != 0 {
		return syscall.Errno(n)
	}
	return syscall.ECONNRESET
}

// receive reads a reply. The socket is edge triggered, so it reads until a read comes back short.
func (c *client) receive(fd int32, k *conn) error {
	for {
		n, errno := read(fd, c.buf)
		if errno != 0 {
			if again(errno) {
				return nil
			}
			return c.fail(fd, k, errno)
		}
		if k.group.datagrams() && k.state != awaiting {
			continue // an answer that came too late
		}
		if n == 0 || k.state == parked {
			return c.fail(fd, k, syscall.ECONNRESET)
		}
		k.got += n
		k.group.bytes += uint64(n)
		if k.got >= k.group.Reply {
			return c.complete(fd, k)
		}
		if n < len(c.buf) {
			return nil
		}
	}
}

// complete ends a request and lets its connection, or its slot, go on.
func (c *client) complete(fd int32, k *conn) error {
	now := c.now()
	g := k.group
	if k.first {
		k.first = false
		k.state = parked
		g.free = append(g.free, fd)
		c.opened(g, now)
		return nil
	}
	g.record(now - k.due)
	g.done++
	if g.short() {
		closeFD(fd)
		*k = conn{}
		fd = -1
	} else {
		k.state = parked
	}
	return c.follow(g, fd, now)
}

// follow gives the next request to a free connection or slot.
func (c *client) follow(g *group, fd int32, now time.Duration) error {
	switch {
	case !g.schedule.open():
		return c.begin(g, fd, now)
	case g.schedule.next() <= now:
		return c.begin(g, fd, g.schedule.take())
	}
	g.free = append(g.free, fd)
	return nil
}

// fail ends a broken connection. While connections are opened that is fatal, later another one takes its place.
func (c *client) fail(fd int32, k *conn, errno syscall.Errno) error {
	g := k.group
	if g.datagrams() && errno == syscall.ECONNREFUSED {
		return nil // what this was the end of is asked again
	}
	idle, due := k.state == parked, k.due
	closeFD(fd)
	*k = conn{}
	if c.phase == opening {
		return c.openingFailed(errno.Error())
	}
	g.errors++
	if g.errors > errorsAllowed+g.done {
		return fmt.Errorf("group %q: %d connections failed: %w", g.Name, g.errors, errno)
	}
	if g.Kind == Idle {
		return nil
	}
	if idle {
		for i, free := range g.free {
			if free == fd {
				g.free[i] = -1 // reconnects with its next request
			}
		}
		return nil
	}
	return c.connect(g, due)
}

// startStream makes an established connection endless.
func (c *client) startStream(fd int32, k *conn) error {
	g := k.group
	if n, errno := write(fd, g.first); errno != 0 || n < len(g.first) {
		return c.fail(fd, k, errno)
	}
	k.state = streaming
	interest := uint32(readable)
	switch {
	case g.Kind == Up:
		interest = writable
	case g.Rate > 0:
		interest = 0 // read by the clock; an error still shows
		k.budget = budget{start: c.now(), rate: g.Rate}
		c.paced = append(c.paced, fd)
	}
	if k.first {
		k.first = false
		c.opened(g, c.now())
	}
	return c.poll.set(fd, interest)
}

// stream moves one chunk.
func (c *client) stream(fd int32, k *conn) error {
	move, chunk := read, c.buf
	if k.group.Kind == Up {
		move, chunk = write, c.zeros
	}
	n, errno := move(fd, chunk)
	if again(errno) {
		return nil
	}
	if errno != 0 || n == 0 {
		return c.endStream(fd, k, errno)
	}
	k.group.bytes += uint64(n)
	k.budget.spent += uint64(n)
	return nil
}

// endStream drops a stream that the proxy has ended; an endless one never ends by itself.
func (c *client) endStream(fd int32, k *conn, errno syscall.Errno) error {
	for i, paced := range c.paced {
		if paced == fd {
			c.paced = append(c.paced[:i], c.paced[i+1:]...)
			break
		}
	}
	return c.fail(fd, k, errno)
}

// readPaced lets every paced reader read what its rate allows.
func (c *client) readPaced(now time.Duration) error {
	for i := 0; i < len(c.paced); i++ {
		fd := c.paced[i]
		k := &c.conns[fd]
		allowed := k.budget.left(now, len(c.buf))
		if allowed == 0 {
			continue
		}
		n, errno := read(fd, c.buf[:allowed])
		switch {
		case again(errno):
		case errno != 0 || n == 0:
			return c.endStream(fd, k, errno)
		default:
			k.group.bytes += uint64(n)
			k.budget.spent += uint64(n)
		}
	}
	return nil
}
