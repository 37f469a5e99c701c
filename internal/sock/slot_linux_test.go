package sock

import (
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestReadSlot reads what a kernel might have written, and what it never would.
func TestReadSlot(t *testing.T) {
	const data = "hello world"
	full := SlotHead + len(data)
	for _, tt := range []struct {
		name    string
		n       int
		control uint32 // bytes that the head claims
		cmsg    uint64 // length that the control message claims
		want    string
		segment int
		ok      bool
	}{
		{"whole", full, 24, 20, data, 4, true},
		{"empty", SlotHead, 24, 20, "", 0, true},
		{"without control messages", full, 0, 20, data, 0, true},
		{"control message longer than there is", full, 24, 4096, data, 0, true},
		{"control message shorter than its head", full, 24, 3, data, 0, true},
		{"more control messages than there is room for", full, 1 << 30, 20, data, 4, true},
		{"cut head", SlotHead - 1, 24, 20, "", 0, false},
		{"longer than the slot", SlotBytes + 1, 24, 20, "", 0, false},
		{"an error", -int(unix.ENOBUFS), 24, 20, "", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := make([]uint64, SlotBytes/8)
			p := unsafe.Pointer(&mem[0])
			slot := unsafe.Slice((*byte)(p), SlotBytes)
			(*slotOut)(p).controlLen = tt.control
			*(*unix.RawSockaddrInet4)(unsafe.Add(p, slotName)) = unix.RawSockaddrInet4{
				Family: unix.AF_INET, Port: htons(53), Addr: [4]byte{192, 0, 2, 1}}
			c := (*unix.Cmsghdr)(unsafe.Add(p, slotControl))
			c.Level, c.Type = unix.SOL_UDP, unix.UDP_GRO
			c.SetLen(int(tt.cmsg))
			*(*int32)(unsafe.Add(p, slotControl+unix.CmsgLen(0))) = 4
			copy(slot[SlotHead:], data)
			var d Datagram
			if ok := ReadSlot(slot, tt.n, &d); ok != tt.ok || !ok {
				if ok != tt.ok {
					t.Errorf("ok = %v", ok)
				}
				return
			}
			if string(d.Data) != tt.want || d.Segment != tt.segment || d.Remote.AddrPort() != netip.MustParseAddrPort("192.0.2.1:53") {
				t.Errorf("%q in segments of %d from %v", d.Data, d.Segment, d.Remote.AddrPort())
			}
		})
	}
}
