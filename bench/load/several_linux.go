package load

import (
	"encoding/binary"
	"time"
)

// flight is one of several requests that a connection has under way. Its number is its place among them and how often
// that was used.
type flight struct {
	due    time.Duration
	number uint64
}

// beginSeveral makes the first requests on fd.
func (c *client) beginSeveral(fd int32, k *conn) error {
	k.state = several
	k.flights = make([]flight, k.group.Depth)
	for i := range k.flights {
		k.flights[i].number = uint64(i)
		c.sendFlight(fd, k, &k.flights[i], c.now())
	}
	return nil
}

// sendFlight makes the next request in the place of f. What is not taken is lost, as if it were on the way.
func (c *client) sendFlight(fd int32, k *conn, f *flight, now time.Duration) {
	f.due = now
	f.number += uint64(len(k.flights))
	binary.LittleEndian.PutUint64(k.group.first[HeaderBytes:], f.number)
	_, _ = write(fd, k.group.first)
}

// receiveSeveral reads all answers there are, and makes a request for each.
func (c *client) receiveSeveral(fd int32, k *conn) error {
	g := k.group
	for {
		n, errno := read(fd, c.buf)
		if errno != 0 {
			if again(errno) {
				return nil
			}
			return c.fail(fd, k, errno)
		}
		if n < HeaderBytes+numberBytes {
			continue
		}
		number := binary.LittleEndian.Uint64(c.buf[HeaderBytes:])
		f := &k.flights[number%uint64(len(k.flights))]
		if f.number != number {
			continue // it was given up
		}
		now := c.now()
		g.record(now - f.due)
		g.done++
		g.bytes += uint64(n)
		c.sendFlight(fd, k, f, now)
	}
}

// againSeveral gives up requests that have had no answer for too long, and makes others.
func (c *client) againSeveral(fd int32, k *conn, now time.Duration) {
	for i := range k.flights {
		if f := &k.flights[i]; now-f.due >= askPatience {
			k.group.errors++
			c.sendFlight(fd, k, f, now)
		}
	}
}
