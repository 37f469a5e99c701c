package load

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// TestAnswerDatagrams has the backend answer as long as it was asked to, and pass over what is not a request.
func TestAnswerDatagrams(t *testing.T) {
	b := &backend{zeros: make([]byte, chunkBytes)}
	if err := b.listenDatagrams(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	defer b.datagrams.Close()
	a := b.datagrams.Addr()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a.AddrPort))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for _, reply := range []int{1, 64, 1400, sock.MaxDatagram - 100} {
		g := Group{Kind: Ask, Request: 64, Reply: reply}
		c.Write([]byte("short"))
		c.Write(g.request())
		b.answerDatagrams()
		got := make([]byte, sock.MaxDatagram)
		if n, err := c.Read(got); n != reply || err != nil {
			t.Errorf("answer of %d bytes, %v; want %d", n, err, reply)
		}
	}
}

// TestAskAgain: what has no answer in time is counted and sent once more.
func TestAskAgain(t *testing.T) {
	sv, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sv.Close()
	c := &client{zero: time.Now(), phase: running, buf: make([]byte, chunkBytes)}
	if c.poll, err = newPoller(); err != nil {
		t.Fatal(err)
	}
	defer c.poll.close()
	c.target.Port, c.target.Addr = sv.LocalAddr().(*net.UDPAddr).Port, [4]byte{127, 0, 0, 1}
	g := newGroup(&Group{Kind: Ask, Conns: 1, Request: 64, Reply: 64})
	if err := c.connect(g, 0); err != nil {
		t.Fatal(err)
	}
	fd := int32(len(c.conns) - 1)
	defer closeFD(fd)
	if err := c.handle(fd, writable); err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Duration{askEvery, askPatience - 1, askPatience + askEvery} {
		if err := c.askAgain(now); err != nil {
			t.Fatal(err)
		}
	}
	if g.errors != 1 {
		t.Errorf("%d lost, want 1", g.errors)
	}
	sv.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range 2 {
		if n, err := sv.Read(make([]byte, 100)); n != 64 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}
