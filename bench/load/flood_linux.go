package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"
)

const (
	floodBurst = 32                    // calls between two looks at the clock
	tallyEvery = 20 * time.Millisecond // how often the backend is asked for its count
	tallyMost  = 200                   // times
	solUDP     = 17                    // SOL_UDP and UDP_SEGMENT, linux/udp.h
	udpSegment = 103
)

// openFlood lets the opened connection of g flood.
func (c *client) openFlood(g *group) error {
	c.flood = g.free[0]
	g.free = g.free[:0]
	c.conns[c.flood].state = flooding
	if g.Train > 1 {
		if err := syscall.SetsockoptInt(int(c.flood), solUDP, udpSegment, g.Request); err != nil {
			return fmt.Errorf("UDP_SEGMENT: %w", err)
		}
	}
	putHeader(g.first, uint32(g.Request), silence)
	g.first = bytes.Repeat(g.first, max(g.Train, 1))
	return nil
}

// sendFlood sends a burst. What the kernel does not take, for lack of room, was not sent.
func (c *client) sendFlood() error {
	if c.flood == 0 {
		return nil
	}
	g := c.conns[c.flood].group
	for range floodBurst {
		switch _, errno := write(c.flood, g.first); errno {
		case 0:
			g.sent += uint64(max(g.Train, 1))
		case syscall.EAGAIN, syscall.EINTR, syscall.ENOBUFS, syscall.ECONNREFUSED:
		default:
			return fmt.Errorf("flood: %w", errno)
		}
	}
	return nil
}

// startFlood waits until all that was sent so far has arrived or never will, so that the window has none of it.
func (c *client) startFlood() (err error) {
	if c.flood > 0 {
		g := c.conns[c.flood].group
		g.counted, err = c.tally()
	}
	return err
}

// endFlood waits until all has arrived, or never will, and counts.
func (c *client) endFlood() error {
	if c.flood == 0 {
		return nil
	}
	g := c.conns[c.flood].group
	now, err := c.tally()
	if err != nil {
		return err
	}
	g.done = now - g.counted
	g.bytes = g.done * uint64(g.Request)
	if g.sent > g.done {
		g.errors = g.sent - g.done
	}
	return nil
}

// tally asks the backend what it has counted. The question goes the way of what was sent before, and is behind it.
func (c *client) tally() (uint64, error) {
	question := make([]byte, HeaderBytes+numberBytes)
	putHeader(question, uint32(len(question)), tally)
	for range tallyMost {
		c.asked++
		binary.LittleEndian.PutUint64(question[HeaderBytes:], c.asked)
		if _, errno := write(c.flood, question); errno != 0 && !again(errno) && errno != syscall.ECONNREFUSED && errno != syscall.ENOBUFS {
			return 0, fmt.Errorf("flood: %w", errno)
		}
		for due := c.now() + tallyEvery; c.now() < due; {
			if n, _ := read(c.flood, c.buf); n == len(question) && binary.LittleEndian.Uint64(c.buf[HeaderBytes:]) == c.asked {
				return binary.LittleEndian.Uint64(c.buf), nil
			}
			if _, err := c.poll.wait(max(due-c.now(), 0)); err != nil {
				return 0, err
			}
		}
	}
	return 0, errors.New("flood: the backend does not tell what has arrived")
}
