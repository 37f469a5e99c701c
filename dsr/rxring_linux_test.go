package dsr

import (
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

// loopback is a ring, on the receiver in, for what leaves by the sender out: both on the loopback of a namespace of their
// own, whose MTU lets frames through that are longer than a slot.
func loopback(t *testing.T) (in, out int, ring *rxRing) {
	testnet.Need(t, testnet.Root)
	h := testnet.New(t).Host("alone")
	h.IP("link", "set", "lo", "mtu", "60000", "up")
	if err := h.Do(func() error {
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			return err
		}
		if in, _, err = receiver(lo.Index); err != nil {
			return err
		}
		if ring, err = openRing(in); err != nil {
			return err
		}
		out, err = sender(lo.Index)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(in); unix.Close(out); ring.close() })
	return in, out, ring
}

// Frames come out of the ring, several times around, as they went in: short ones from their slots, and long ones, in
// their place, from the queue.
func TestRing(t *testing.T) {
	in, out, ring := loopback(t)
	if err := attach(in, []unix.SockFilter{{Code: ret, K: takeAll}}); err != nil {
		t.Fatal(err)
	}
	link := &wired{name: "lo"}
	k := &worker{fd: in, ring: ring, link: link, room: make([]byte, 4*slotBytes), in: make([]mmsghdr, 4), inIO: make([]unix.Iovec, 4)}
	for i := range k.in {
		k.inIO[i].Base = &k.room[i*slotBytes]
		k.inIO[i].SetLen(slotBytes)
		k.in[i].Iov = &k.inIO[i]
		k.in[i].SetIovlen(1)
	}
	sizes := []int{60, 1514, 1598, 4000, 50000, 99}
	frame := make([]byte, 50000)
	wire.PutEthernet(frame, wire.MAC{}, wire.MAC{2}, 0x88b5) // IEEE 802, for experiments
	sent, got := uint32(0), uint32(0)
	for range 3 * ringSlots / 4 {
		for range 4 {
			binary.BigEndian.PutUint32(frame[wire.EthernetLen:], sent)
			if _, err := unix.Write(out, frame[:sizes[int(sent)%len(sizes)]]); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		n := ring.ready(4)
		if err := k.dequeue(n); err != nil {
			t.Fatal(err)
		}
		long := 0
		for i := range n {
			b, cut := ring.frame(i)
			if ring.queued(i) {
				b, cut = k.room[long*slotBytes:][:k.in[long].n], false
				long++
			}
			want := sizes[int(got)%len(sizes)]
			if number := binary.BigEndian.Uint32(b[vnetLen+wire.EthernetLen:]); cut || number != got || len(b) != vnetLen+want {
				t.Fatalf("frame %d of %d bytes (cut: %v), want %d of %d", number, len(b)-vnetLen, cut, got, want)
			}
			if cap(b) < vnetLen+ownFrame {
				t.Fatalf("no room for an answer in %d bytes", cap(b))
			}
			got++
		}
		ring.release(n)
	}
	if got != sent {
		t.Errorf("%d frames of %d", got, sent)
	}
	// Without room in the queue the rest of a long frame is missing, and is known to be.
	if err := unix.SetsockoptInt(in, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := unix.Write(out, frame); err != nil {
			t.Fatal(err)
		}
	}
	if n := ring.ready(4); n != 2 || ring.queued(1) {
		t.Fatalf("%d frames, the last one queued: %v", n, ring.queued(1))
	} else if _, cut := ring.frame(1); !cut {
		t.Error("a frame without its end passes for a whole one")
	}
}

// No filter lets SCTP through, which could use the ring up; TCP and UDP pass.
func TestFilterRefusesSCTP(t *testing.T) {
	in, out, ring := loopback(t)
	prog, err := filter([]VIP{{web.Netip(), 0, Both}, {web6.Netip(), 0, Both}}, true, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := attach(in, prog); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		frame []byte
		at    int // of the protocol
	}{{segment(client, web, 1, 80, 0), wire.EthernetLen + 9}, {segment(client6, web6, 1, 80, 0), wire.EthernetLen + 6}} {
		for _, proto := range []byte{wire.ProtoTCP, unix.IPPROTO_SCTP, wire.ProtoUDP} {
			tt.frame[tt.at] = proto
			if _, err := unix.Write(out, tt.frame); err != nil {
				t.Fatal(err)
			}
			want := 1
			if proto == unix.IPPROTO_SCTP {
				want = 0
			}
			if n := ring.ready(4); n != want {
				t.Errorf("protocol %d: %d frames, want %d", proto, n, want)
			}
			ring.release(ring.ready(4))
		}
	}
}
