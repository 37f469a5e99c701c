package penlogd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/penlb/pen/internal/accesslog/match"
)

const (
	maxDatagram  = 1 << 16
	receiveBytes = 4 << 20 // for bursts; the kernel may give less
)

// server joins what arrives at one socket. Serve is for one goroutine.
type server struct {
	conn   *net.UDPConn
	cache  *match.Cache
	out    *output
	debugf func(format string, args ...any)
	now    func() time.Time

	line []byte
}

// listen binds the port, for IPv6 and IPv4 where the system has both.
func listen(port int) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	if err := c.SetReadBuffer(receiveBytes); err != nil {
		c.Close()
		return nil, fmt.Errorf("receive buffer: %w", err)
	}
	return c, nil
}

// serve handles datagrams until the socket is closed.
func (s *server) serve() error {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(buf[:n]) {
			s.handle(line, from.Addr())
		}
	}
}

func (s *server) handle(line []byte, from netip.Addr) {
	if match.FromPen(line) {
		if !s.cache.Learn(line) {
			s.debugf("discarding bogus pen line %q from %s", line, from)
		}
		return
	}
	var ok bool
	if s.line, ok = s.cache.Rewrite(s.line[:0], from, line); !ok {
		s.debugf("bogus web line %q from %s", line, from)
		return
	}
	s.out.write(s.line, s.now)
}
