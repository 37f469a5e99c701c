package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// naive is RFC 1071 word by word.
func naive(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		if sum += word; sum > 0xffff {
			sum -= 0xffff
		}
	}
	return ^uint16(sum)
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 2, 300).Draw(t, "message")
		if got, want := Fold(Sum(0, b)), naive(b); got != want {
			t.Fatalf("sum %#x, want %#x", got, want)
		}
		before := Fold(Sum(0, b))
		at := rapid.IntRange(0, len(b)/2-1).Draw(t, "word") * 2
		old, now := binary.BigEndian.Uint16(b[at:]), rapid.Uint16().Draw(t, "now")
		binary.BigEndian.PutUint16(b[at:], now)
		// 0 and 0xffff are the same number in ones' complement.
		if got, want := Update(before, old, now), naive(b); got != want && got^want != 0xffff {
			t.Fatalf("updated %#x, want %#x", got, want)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from string
		change     func(b []byte)
		want       error
	}{
		{"version of IPv4", "tcp4", func(b []byte) { b[14] = 0x55 }, ErrLength},
		{"header length", "tcp4", func(b []byte) { b[14] = 0x44 }, ErrLength},
		{"total length below header", "tcp4", func(b []byte) { b[16], b[17] = 0, 19 }, ErrLength},
		{"total length above frame", "tcp4", func(b []byte) { b[16] = 0xff }, ErrTruncated},
		{"checksum", "tcp4", func(b []byte) { b[22]++ }, ErrChecksum},
		{"offset of TCP", "tcp4", func(b []byte) { b[46] = 0x40 }, ErrLength},
		{"offset of TCP behind the end", "tcp4", func(b []byte) { b[46] = 0xf0 }, ErrTruncated},
		{"length of UDP", "udp4", func(b []byte) { b[39] = 7 }, ErrLength},
		{"length of UDP above packet", "udp4", func(b []byte) { b[39] = 200 }, ErrLength},
		{"version of IPv6", "tcp6", func(b []byte) { b[14] = 0x40 }, ErrLength},
		{"payload of IPv6 above frame", "tcp6", func(b []byte) { b[18] = 0xff }, ErrTruncated},
		{"extension beyond the end", "extensions", func(b []byte) { b[55] = 200 }, ErrTruncated},
	}
	list := frames(t)
	for _, tt := range tests {
		b := append([]byte(nil), list[tt.from]...)
		tt.change(b)
		var p Packet
		if err := Decode(b, &p); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	// More extension headers than anybody needs.
	b := append([]byte(nil), list["tcp6"][:54]...)
	for range 20 {
		b = append(b, extension(ProtoDestination, 0)...)
	}
	b[20] = ProtoDestination
	binary.BigEndian.PutUint16(b[18:], 160)
	var p Packet
	if err := Decode(b, &p); !errors.Is(err, ErrLength) {
		t.Errorf("20 extension headers: %v", err)
	}
}

func TestAddr(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"10.1.2.3", "0.0.0.0", "2001:db8::1", "::", "fe80::1"} {
		n := netip.MustParseAddr(s)
		a := AddrFrom(n)
		if a.Netip() != n || a.Is4() != n.Is4() || a.Unspecified() != n.IsUnspecified() || a.String() != s {
			t.Errorf("%s is %v", s, a)
		}
	}
	a := AddrFrom(netip.MustParseAddr("2001:db8::ab:cdef"))
	g := a.SolicitedNode()
	if g.String() != "ff02::1:ffab:cdef" || MulticastMAC(&g).String() != "33:33:ff:ab:cd:ef" || !MulticastMAC(&g).Group() {
		t.Errorf("group %v at %v", g, MulticastMAC(&g))
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for name, frame := range frames(t) {
		var p, q Packet
		if n := testing.AllocsPerRun(100, func() {
			_ = Decode(frame, &p)
			p.Quoted(frame, &q)
			p.Neighbour(frame)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	list := frames(b)
	for _, name := range []string{"tcp4", "tcp6"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for b.Loop() {
				_ = Decode(list[name], &p)
			}
		})
	}
}
