//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || solaris)

package sock

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// DatagramSocket is a UDP socket of package net.
type DatagramSocket struct {
	addr Addr
	conn *net.UDPConn
	peer bool // connected
}

// ListenDatagram opens a UDP socket.
func ListenDatagram(o *DatagramOptions) (*DatagramSocket, error) {
	if o.Transparent {
		return nil, errors.ErrUnsupported
	}
	network := "udp4"
	if o.six() {
		network = "udp6"
		if o.tellsLocal() {
			network = "udp"
		}
	}
	local := net.UDPAddrFromAddrPort(o.Bind)
	var c *net.UDPConn
	var err error
	if o.Peer.IsValid() {
		c, err = net.DialUDP(network, local, net.UDPAddrFromAddrPort(o.Peer))
	} else {
		c, err = net.ListenUDP(network, local)
	}
	if err != nil {
		return nil, err
	}
	if o.Buffer > 0 {
		_ = c.SetReadBuffer(o.Buffer) // less will do
	}
	port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return &DatagramSocket{addr: Addr{AddrPort: netip.AddrPortFrom(o.Bind.Addr(), port)}, conn: c, peer: o.Peer.IsValid()}, nil
}

// FD is -1: there is no descriptor.
func (d *DatagramSocket) FD() int { return -1 }

// Addr is where d is bound, with the port that was chosen if 0 was asked for.
func (d *DatagramSocket) Addr() Addr { return d.addr }

// Drops is 0: the system does not tell.
func (d *DatagramSocket) Drops() uint64 { return 0 }

// Close closes d. A second Close gives an error that is net.ErrClosed.
func (d *DatagramSocket) Close() error { return d.conn.Close() }

// UDPConn is the socket of package net itself.
func (d *DatagramSocket) UDPConn() (*net.UDPConn, error) { return d.conn, nil }

// batchSys are the sockets of what is to be sent: they have no numbers.
type batchSys struct{ socks []*DatagramSocket }

func (*Batch) init() {}

// RecvFrom receives one datagram of d, for which it may block: the caller knows that there is one.
func (b *Batch) RecvFrom(d *DatagramSocket) ([]Datagram, error) {
	first, _ := b.room(1)
	n, from, err := d.conn.ReadFromUDPAddrPort(b.slot(first))
	if err != nil {
		return nil, err
	}
	b.got[first] = Datagram{Data: b.slot(first)[:n], Remote: EndpointOf(from)}
	b.used++
	return b.got[first:b.used], nil
}

// SendFrom is Send for a socket without a number.
func (b *Batch) SendFrom(d *DatagramSocket, g *Datagram) {
	if len(b.queue) == cap(b.queue) {
		b.Flush()
	}
	b.sys.socks = append(b.sys.socks[:len(b.queue)], d)
	b.Send(len(b.queue), false, g)
}

func (b *Batch) sendRun(run []outgoing) {
	for i := range run {
		b.sendOne(&run[i])
	}
}

func (b *Batch) sendOne(o *outgoing) {
	d := b.sys.socks[o.fd]
	var err error
	if d.peer {
		_, err = d.conn.Write(o.Data)
	} else {
		_, err = d.conn.WriteToUDPAddrPort(o.Data, o.Remote.AddrPort())
	}
	if err != nil {
		b.Lost++
		return
	}
	b.Sent++
}

// SourceTo is the local address that the system would send from to reach a; invalid if it knows no way.
func SourceTo(a netip.Addr) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

var errNoDescriptors = errors.New("sock: datagram sockets have no descriptors here")

// OpenDatagram cannot: see ListenDatagram.
func OpenDatagram(*DatagramOptions) (int, error) {
	return -1, errors.Join(errNoDescriptors, syscall.EINVAL)
}
