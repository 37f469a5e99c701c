package tlsloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
	"github.com/penlb/pen/ring/ringtest"
	"github.com/penlb/pen/splice"
)

// posting is a fake loop that tells of what is posted, for the handshake posts from a goroutine of its own.
type posting struct {
	*ringtest.Fake
	posted chan struct{}
}

func (p posting) Post(f func()) bool {
	ok := p.Fake.Post(f)
	select {
	case p.posted <- struct{}{}:
	default:
	}
	return ok
}

// memory is the client's end of a connection. It waits for the server only while the handshake runs.
type memory struct {
	net.Conn
	live    bool
	in, out chan []byte // during the handshake
	rest    []byte      // of what the server said
	said    []byte
}

func (m *memory) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		if m.live {
			return 0, errAgain
		}
		m.rest = <-m.in
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func (m *memory) Write(p []byte) (int, error) {
	if m.live {
		m.said = append(m.said, p...)
	} else {
		m.out <- bytes.Clone(p)
	}
	return len(p), nil
}

func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// scene is a client with TLS and a plain server, whose relay runs on a loop that the test completes by hand.
type scene struct {
	t      *rapid.T
	fake   *ringtest.Fake
	loop   *Loop
	rig    *rig
	flow   *flow
	net    *memory
	client *tls.Conn

	seen               int    // bytes of the server's records that the client has
	up, down           []byte // what was said, in plain text
	gotUp, gotDown     []byte // and arrived
	clientEnds         bool
	serverEnds, broken bool
}

func newScene(t *rapid.T, serve, conf *tls.Config) *scene {
	s := &scene{t: t, fake: ringtest.NewFake(t, rapid.SampledFrom([]int{512, 4 << 10, 40 << 10}).Draw(t, "buffer"))}
	s.rig = &rig{serve: serve, to: sock.Addr{AddrPort: netip.MustParseAddrPort("10.0.0.1:80")}, ended: make(chan error, 1)}
	p := posting{s.fake, make(chan struct{}, 1)}
	s.loop = New(p, classOurs, NewSlots(1), s.rig.secured)
	s.rig.loop, s.rig.pump = s.loop, splice.NewPump(s.loop, 0)
	s.loop.Handle(classAccept, completions(s.rig.accepted))
	s.loop.Handle(classFlow, completions(func(c *ring.Completion) { s.flow.complete(c) }))
	ln, err := s.loop.Attach(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.loop.Accept(ln, ring.NewToken(classAccept, 0))
	s.fake.Arrive(ln, netip.MustParseAddrPort("192.0.2.1:1"), netip.AddrPort{})
	s.flow = s.rig.flows[0]
	s.net = &memory{in: make(chan []byte, 64), out: make(chan []byte, 64)}
	s.client = tls.Client(s.net, conf)
	s.shake(p.posted)
	return s
}

// shake makes the handshake, up to the connection with the server.
func (s *scene) shake(posted chan struct{}) {
	done := make(chan error, 1)
	go func() { done <- s.client.Handshake() }()
	for late := time.After(patience); done != nil || s.flow.up == 0; {
		select {
		case b := <-s.net.out:
			s.fake.Data(s.flow.down, b)
		case <-posted:
			s.fake.RunPosts()
			for s.fake.IsPending(s.flow.down, ring.OpSend) {
				s.fake.Finish(s.flow.down, ring.OpSend)
			}
			sent := s.fake.Sent(s.flow.down)
			if len(sent) > s.seen {
				s.net.in <- bytes.Clone(sent[s.seen:])
				s.seen = len(sent)
			}
		case err := <-done:
			if done = nil; err != nil {
				s.t.Fatal(err)
			}
		case <-late:
			s.t.Fatal("the handshake does not end")
		}
	}
	for len(s.net.in) > 0 {
		s.net.rest = append(s.net.rest, <-s.net.in...)
	}
	s.net.live = true
}

// ready lists the operations that may end.
func (s *scene) ready() []ringtest.Pending {
	return slices.DeleteFunc(s.fake.Ready(), func(p ringtest.Pending) bool { return p.Op == ring.OpAccept })
}

// look notes what has arrived on both sides, and that it is what was said.
func (s *scene) look(t *rapid.T) {
	open := s.fake.Opened()
	if slices.Contains(open, s.flow.down) {
		sent := s.fake.Sent(s.flow.down)
		s.net.rest = append(s.net.rest, sent[s.seen:]...)
		s.seen = len(sent)
		var err error
		for b := make([]byte, 32<<10); err == nil; {
			var n int
			n, err = s.client.Read(b)
			s.gotDown = append(s.gotDown, b[:n]...)
		}
		if !errors.Is(err, errAgain) && !errors.Is(err, io.EOF) {
			t.Fatalf("client: %v", err)
		}
		if errors.Is(err, io.EOF) && !s.serverEnds && !s.broken {
			t.Fatal("the client sees an end before the server ended")
		}
	}
	if slices.Contains(open, s.flow.up) {
		s.gotUp = bytes.Clone(s.fake.Sent(s.flow.up))
	}
	if !bytes.HasPrefix(s.up, s.gotUp) || !bytes.HasPrefix(s.down, s.gotDown) {
		t.Fatalf("of %d bytes up and %d down others arrived, in %d and %d", len(s.up), len(s.down), len(s.gotUp), len(s.gotDown))
	}
}

// text is something to say, unlike what was said before.
func text(t *rapid.T, before int) []byte {
	b := make([]byte, rapid.OneOf(rapid.IntRange(1, 99), rapid.IntRange(1, 60_000)).Draw(t, "bytes"))
	for i := range b {
		b[i] = byte(uint32(before+i) * 2654435761 >> 13)
	}
	return b
}

// say has the client say something, or its last word.
func (s *scene) say(t *rapid.T) {
	if s.clientEnds {
		t.Skip("has ended")
	}
	if rapid.IntRange(0, 9).Draw(t, "last") == 0 {
		s.endClient(t)
		return
	}
	b := text(t, len(s.up))
	s.up = append(s.up, b...)
	if _, err := s.client.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) endClient(t *rapid.T) {
	s.clientEnds = true
	if err := s.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// end lets any operation end, well or not.
func (s *scene) end(t *rapid.T) {
	ps := s.ready()
	if len(ps) == 0 {
		t.Skip("nothing is pending")
	}
	p := rapid.SampledFrom(ps).Draw(t, "op")
	how := rapid.IntRange(0, 30).Draw(t, "how")
	switch {
	case p.Op == ring.OpRecv && how == 0:
		s.broken = true
		s.fake.Complete(p.Sock, p.Op, syscall.ECONNRESET, 0)
	case p.Op == ring.OpSend && how == 0:
		s.broken = true
		s.fake.Complete(p.Sock, p.Op, syscall.EPIPE, p.N/2)
	case p.Op == ring.OpConnect && how == 0:
		s.broken = true
		s.fake.Complete(p.Sock, p.Op, syscall.ECONNREFUSED, 0)
	case p.Op == ring.OpRecv && p.Cancelled && how < 20:
		s.fake.Finish(p.Sock, p.Op)
	case p.Op == ring.OpRecv && p.Sock == s.flow.up && how > 1:
		b := text(t, len(s.down))
		s.down = append(s.down, b...)
		s.fake.Data(p.Sock, b)
	case p.Op == ring.OpRecv && p.Sock == s.flow.down && len(s.net.said) > 0:
		s.arrive(rapid.IntRange(1, len(s.net.said)).Draw(t, "arrives"))
	case p.Op == ring.OpRecv && p.Sock == s.flow.down && !s.clientEnds:
		t.Skip("nothing was said")
	default:
		s.finish(p)
	}
}

// arrive brings n bytes of what the client said.
func (s *scene) arrive(n int) {
	b := s.net.said[:n]
	s.net.said = s.net.said[n:]
	s.fake.Data(s.flow.down, b)
}

// finish ends p well.
func (s *scene) finish(p ringtest.Pending) {
	if p.Op == ring.OpRecv && p.Sock == s.flow.up && !p.Cancelled {
		s.serverEnds = true
	}
	s.look(s.t) // before a Close takes it away
	s.fake.Finish(p.Sock, p.Op)
}

// drain lets all that is left end well, and with ends also the streams of both sides.
func (s *scene) drain(t *rapid.T, ends bool) {
	for range 100_000 {
		posts := s.fake.RunPosts()
		ps := s.ready()
		if !ends { // whoever waits for more goes on waiting
			ps = slices.DeleteFunc(ps, func(p ringtest.Pending) bool {
				return p.Op == ring.OpRecv && !p.Cancelled && (p.Sock == s.flow.up || len(s.net.said) == 0)
			})
		}
		switch {
		case len(ps) > 0 && ps[0].Op == ring.OpRecv && ps[0].Sock == s.flow.down && !ps[0].Cancelled && len(s.net.said) > 0:
			s.arrive(len(s.net.said))
		case len(ps) > 0:
			s.finish(ps[0])
		case posts == 0:
			return
		}
	}
	t.Fatal("it never ends")
}

// TestAnyOrder relays between a client with TLS and a server under every order and outcome of the operations: what
// arrives is what was said, all of it unless something broke, and in the end nothing is left.
func TestAnyOrder(t *testing.T) {
	cert, pool := certificate(t)
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom([]uint16{tls.VersionTLS12, tls.VersionTLS13}).Draw(rt, "version")
		s := newScene(rt, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version},
			&tls.Config{RootCAs: pool, ServerName: "site.test"})
		rt.Repeat(map[string]func(*rapid.T){
			"":    s.look,
			"say": s.say,
			"end": s.end, "end too": s.end, "end as well": s.end,
			"posts": func(*rapid.T) { s.fake.RunPosts() },
			"close": func(t *rapid.T) {
				if s.flow.closing || rapid.IntRange(0, 20).Draw(t, "really") > 0 {
					t.Skip("not now")
				}
				s.broken = true
				s.flow.close(nil)
			},
		})
		s.drain(rt, false)
		s.look(rt)
		if !s.broken && (!bytes.Equal(s.gotUp, s.up) || !bytes.Equal(s.gotDown, s.down)) {
			rt.Fatalf("of %d bytes up arrived %d, of %d down %d", len(s.up), len(s.gotUp), len(s.down), len(s.gotDown))
		}
		if !s.clientEnds {
			s.endClient(rt)
		}
		s.drain(rt, true)
		if s.flow.open != 0 {
			rt.Fatal("the connection did not end")
		}
		s.loop.Stop()
		s.loop.Wait()
		s.fake.Complete(s.fake.Opened()[0], ring.OpAccept, syscall.ECANCELED, 0)
		s.fake.Balanced(1)
		if slices.ContainsFunc(s.loop.conns, func(k *conn) bool { return k != nil }) {
			rt.Fatal("the loop still knows the connection")
		}
	})
}
