package sock

import (
	"bytes"
	"net/netip"
	"syscall"
	"testing"
)

func openDatagram(t *testing.T, o *DatagramOptions) *DatagramSocket {
	t.Helper()
	d, err := ListenDatagram(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func (d *DatagramSocket) endpoint() Endpoint { return EndpointOf(d.addr.AddrPort) }

// TestDatagrams sends from one socket to another, in every pairing of families, and answers.
func TestDatagrams(t *testing.T) {
	for _, tt := range []struct{ name, server, client, to, from string }{
		{"ipv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"ipv6", "[::1]:0", "[::1]:0", "::1", "::1"},
		{"wildcard answers from where it was asked", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.77", "127.0.0.77"},
		{"ipv6 wildcard", "[::]:0", "[::1]:0", "::1", "::1"},
		{"ipv4 client of an ipv6 wildcard", "[::]:0", "127.0.0.1:0", "127.0.0.78", "127.0.0.78"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sv := openDatagram(t, &DatagramOptions{Bind: at(tt.server), Coalesce: true})
			cl := openDatagram(t, &DatagramOptions{Bind: at(tt.client)})
			b, a := NewBatch(), NewBatch()
			to := EndpointOf(netip.AddrPortFrom(netip.MustParseAddr(tt.to), sv.Addr().AddrPort.Port()))
			for _, data := range []string{"question", "", string(make([]byte, 65507-20))} {
				b.Send(cl.FD(), cl.Six(), &Datagram{Data: []byte(data), Remote: to})
				b.Flush()
				until(t, sv.FD(), 1)
				ds, e := a.Recv(sv.FD(), 4)
				if e != 0 || len(ds) != 1 || string(ds[0].Data) != data || ds[0].Remote != cl.endpoint() {
					t.Fatalf("received %d, %v", len(ds), e)
				}
				a.Send(sv.FD(), sv.Six(), &ds[0]) // back to Remote, from Local
				a.Flush()
				until(t, cl.FD(), 1)
				ds, e = b.Recv(cl.FD(), 1)
				if e != 0 || string(ds[0].Data) != data || ds[0].Remote.AddrPort().Addr().String() != tt.from {
					t.Fatalf("answer %+v, %v", ds, e)
				}
				b.Reset()
			}
			if b.Lost+a.Lost != 0 || b.Sent != 3 {
				t.Errorf("sent %d, lost %d and %d", b.Sent, b.Lost, a.Lost)
			}
			if _, e := a.Recv(sv.FD(), 1); e != syscall.EAGAIN {
				t.Errorf("from an empty socket: %v", e)
			}
		})
	}
}

func TestTrains(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	for _, tt := range []struct {
		name     string
		coalesce bool
		refused  bool
		want     []int // sizes
	}{
		{"stays a train", true, false, []int{10000}},
		{"is cut for who takes none", false, false, []int{1400, 1400, 1400, 1400, 1400, 1400, 1400, 200}},
		{"is sent singly where trains are refused", false, true, []int{1400, 1400, 1400, 1400, 1400, 1400, 1400, 200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Coalesce: tt.coalesce})
			cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")})
			b := NewBatch()
			to := sv.endpoint()
			if tt.refused {
				b.refuse(&to, 1400)
			}
			b.Send(cl.FD(), false, &Datagram{Data: data, Remote: to, Segment: 1400})
			b.Flush()
			if b.Sent != 8 || b.Lost != 0 {
				t.Errorf("sent %d, lost %d", b.Sent, b.Lost)
			}
			until(t, sv.FD(), 1)
			ds, e := NewBatch().Recv(sv.FD(), batchLen)
			if e != 0 || len(ds) != len(tt.want) {
				t.Fatalf("%d pieces, %v; want %d", len(ds), e, len(tt.want))
			}
			var all []byte
			for i := range ds {
				if len(ds[i].Data) != tt.want[i] {
					t.Errorf("piece %d has %d bytes, want %d", i, len(ds[i].Data), tt.want[i])
				}
				all = append(all, ds[i].Data...)
			}
			if !bytes.Equal(all, data) {
				t.Error("data differ")
			}
			if tt.coalesce && (ds[0].Segment != 1400 || ds[0].Count() != 8) {
				t.Errorf("segment %d, %d of them", ds[0].Segment, ds[0].Count())
			}
		})
	}
}

// TestTogether sends what makes trains, and what does not, and wants the datagrams as they were.
func TestTogether(t *testing.T) {
	other := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")}).endpoint()
	for _, tt := range []struct {
		name  string
		sizes []int // negative: to another
		most  int
		want  []int // how many leave in each message
	}{
		{"equal", []int{64, 64, 64}, 0, []int{3}},
		{"the last shorter", []int{64, 64, 10}, 0, []int{3}},
		{"behind a shorter one", []int{64, 10, 10, 64}, 0, []int{2, 1, 1}},
		{"a longer one", []int{64, 65, 65}, 0, []int{1, 2}},
		{"empty ones", []int{0, 0, 64, 0}, 0, []int{1, 1, 1, 1}},
		{"another in between", []int{64, -64, 64}, 0, []int{1, 1, 1}},
		{"too many bytes", []int{30000, 30000, 30000, 30000}, 0, []int{2, 2}},
		{"refused", []int{64, 64}, 64, []int{1, 1}},
		{"refused if longer", []int{64, 64}, 65, []int{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Buffer: 1 << 20})
			cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")})
			b, to := NewBatch(), sv.endpoint()
			if tt.most > 0 {
				b.refuse(&to, tt.most)
			}
			var want [][]byte
			for i, n := range tt.sizes {
				d := Datagram{Data: bytes.Repeat([]byte{byte(i)}, max(n, -n)), Remote: to}
				if n < 0 {
					d.Remote = other
				} else {
					want = append(want, d.Data)
				}
				b.Send(cl.FD(), false, &d)
			}
			if n := b.pack(b.queue); n != len(tt.want) {
				t.Errorf("%d messages, want %v", n, tt.want)
			}
			for i, n := range tt.want {
				if got := int(b.sys.outHdr[i].Iovlen); got != n {
					t.Errorf("%d datagrams in message %d, want %d", got, i, n)
				}
			}
			b.Flush()
			if b.Sent != uint64(len(tt.sizes)) || b.Lost != 0 {
				t.Errorf("sent %d, lost %d", b.Sent, b.Lost)
			}
			until(t, sv.FD(), 1)
			ds, _ := NewBatch().Recv(sv.FD(), batchLen)
			if len(ds) != len(want) {
				t.Fatalf("%d came, want %d", len(ds), len(want))
			}
			for i := range ds {
				if !bytes.Equal(ds[i].Data, want[i]) {
					t.Errorf("datagram %d differs", i)
				}
			}
		})
	}
}

// TestTogetherRefused: what the kernel does not take as a train leaves all the same, one by one.
func TestTogetherRefused(t *testing.T) {
	sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Buffer: 1 << 20})
	cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")})
	// Without a checksum the kernel makes no trains (udp_send_skb).
	if err := syscall.SetsockoptInt(cl.FD(), syscall.SOL_SOCKET, soNoCheck, 1); err != nil {
		t.Fatal(err)
	}
	b, to := NewBatch(), sv.endpoint()
	for range 5 {
		b.Send(cl.FD(), false, &Datagram{Data: make([]byte, 100), Remote: to})
	}
	b.Flush()
	if b.Sent != 5 || b.Lost != 0 || b.takesTrains(&to, 100) {
		t.Errorf("sent %d, lost %d", b.Sent, b.Lost)
	}
	until(t, sv.FD(), 1)
	if ds, _ := NewBatch().Recv(sv.FD(), batchLen); len(ds) != 5 {
		t.Errorf("%d came, want 5", len(ds))
	}
}

// soNoCheck is SO_NO_CHECK, which package syscall lacks.
const soNoCheck = 11

// TestTrainRefused sends a train whose pieces the system refuses, as an interface without means to cut it does.
func TestTrainRefused(t *testing.T) {
	sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")})
	cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0")})
	b := NewBatch()
	to := sv.endpoint()
	data := make([]byte, 65000) // more segments than the kernel takes (UDP_MAX_SEGMENTS)
	b.Send(cl.FD(), false, &Datagram{Data: data, Remote: to, Segment: 400})
	b.Flush()
	if b.takesTrains(&to, 400) || b.takesTrains(&to, 500) {
		t.Error("the route is not remembered")
	}
	if !b.takesTrains(&to, 399) {
		t.Error("smaller trains, which may pass, were not refused")
	}
	if b.Sent != 163 || b.Lost != 0 {
		t.Errorf("sent %d, lost %d", b.Sent, b.Lost)
	}
}

// TestUnreachable has a dead peer beside a living one on the same socket: the news names the dead one, and the living
// one gets everything.
func TestUnreachable(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			bind := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
			dead := openDatagram(t, &DatagramOptions{Bind: bind})
			sv := openDatagram(t, &DatagramOptions{Bind: bind})
			cl := openDatagram(t, &DatagramOptions{Bind: bind, Unreachable: true})
			dead.Close()
			b := NewBatch()
			for range 3 {
				b.Send(cl.FD(), cl.Six(), &Datagram{Data: []byte("x"), Remote: dead.endpoint()})
				b.Flush() // or the errors come only after all was sent
				b.Send(cl.FD(), cl.Six(), &Datagram{Data: []byte("x"), Remote: sv.endpoint()})
				b.Flush()
			}
			until(t, sv.FD(), 1)
			if ds, e := NewBatch().Recv(sv.FD(), batchLen); len(ds) != 3 || e != 0 {
				t.Errorf("the living one got %d of 3, %v", len(ds), e)
			}
			ds := b.Unreachable(cl.FD())
			if len(ds) == 0 {
				t.Fatal("no news")
			}
			for _, d := range ds {
				if d.Err != syscall.ECONNREFUSED || d.Remote != dead.endpoint() {
					t.Errorf("%+v", d)
				}
			}
			if ds := b.Unreachable(cl.FD()); len(ds) != 0 {
				t.Errorf("again: %+v", ds)
			}
			if _, e := b.Recv(cl.FD(), 1); e != syscall.EAGAIN {
				t.Errorf("an error is left: %v", e)
			}
		})
	}
}

func TestDatagramDrops(t *testing.T) {
	sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Buffer: 4096})
	cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Peer: sv.Addr().AddrPort})
	b := NewBatch()
	for range 100 {
		b.Send(cl.FD(), false, &Datagram{Data: make([]byte, 1000)})
	}
	b.Flush()
	got := uint64(0)
	for r := NewBatch(); ; {
		ds, e := r.Recv(sv.FD(), batchLen)
		if e != 0 {
			break
		}
		got += uint64(len(ds))
	}
	if d := sv.Drops(); d == 0 || d+got != b.Sent {
		t.Errorf("%d dropped, %d received of %d", d, got, b.Sent)
	}
}

func TestSourceTo(t *testing.T) {
	if a := SourceTo(netip.MustParseAddr("127.0.0.9")); a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("towards loopback: %v", a)
	}
	if a := SourceTo(netip.MustParseAddr("::1")); a != netip.IPv6Loopback() {
		t.Errorf("towards loopback: %v", a)
	}
}

func TestDatagramsAllocateNothing(t *testing.T) {
	sv := openDatagram(t, &DatagramOptions{Bind: at("0.0.0.0:0"), Coalesce: true})
	cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Unreachable: true})
	to := EndpointOf(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), sv.Addr().AddrPort.Port()))
	b, a := NewBatch(), NewBatch()
	data := make([]byte, 3000)
	n := testing.AllocsPerRun(100, func() {
		for range 3 {
			b.Send(cl.FD(), false, &Datagram{Data: data, Remote: to, Segment: 1400})
		}
		b.Flush()
		until(t, sv.FD(), 1)
		ds, _ := a.Recv(sv.FD(), 8)
		for i := range ds {
			a.Send(sv.FD(), false, &ds[i])
		}
		a.Reset()
		until(t, cl.FD(), 1)
		b.Recv(cl.FD(), 8)
		b.Unreachable(cl.FD())
		b.Reset()
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
