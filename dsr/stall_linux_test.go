package dsr

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

// openTap makes an interface whose frames come, each behind a struct virtio_net_hdr, from the descriptor; see
// Documentation/networking/tuntap.rst.
func openTap(t *testing.T, h *testnet.Host, name string) (fd int, mac wire.MAC) {
	t.Helper()
	if err := h.Do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}); err != nil {
		t.Fatalf("tap: %v", err)
	}
	h.IP("link", "set", name, "up")
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			mac = wire.MAC(ifi.HardwareAddr)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return fd, mac
}

// A frame that the kernel cannot describe stops the ring; it goes on soon, as often as that happens, and says so once.
func TestRingGoesOn(t *testing.T) {
	testnet.Need(t, testnet.Root)
	h := testnet.New(t).Host("alone")
	tap, mac := openTap(t, h, "tap0")
	vip, at := netip.MustParseAddr(vip4), netip.MustParseAddr("10.7.0.3")
	h.IP("neigh", "add", at.String(), "lladdr", "02:00:00:00:07:03", "dev", "tap0", "nud", "permanent")
	log := &journal{t: t}
	var e *Engine
	if err := h.Do(func() (err error) {
		e, err = Open(Options{Interface: "tap0", Threads: 1, Batch: MaxBatch, Logf: log.printf})
		if err == nil {
			err = e.Configure(Config{VIPs: []VIP{{vip, 53, UDP}}, Servers: []Server{{Addr: at}}})
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Do(e.Run) }()
	defer func() {
		e.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	write := func(gso byte, frame []byte) {
		t.Helper()
		b := make([]byte, vnetLen, vnetLen+len(frame))
		b[1] = gso
		if gso != 0 {
			b[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
			binary.NativeEndian.PutUint16(b[2:], wire.EthernetLen+wire.IPv4Len+8)
			binary.NativeEndian.PutUint16(b[4:], 1000)
			binary.NativeEndian.PutUint16(b[6:], wire.EthernetLen+wire.IPv4Len)
			binary.NativeEndian.PutUint16(b[8:], 6) // the checksum of UDP
		}
		if _, err := unix.Write(tap, append(b, frame...)); err != nil {
			t.Fatal(err)
		}
	}
	to := func(size int) []byte {
		b := make([]byte, wire.EthernetLen+wire.IPv4Len+8+size)
		wire.PutEthernet(b, mac, clientMAC, wire.TypeIPv4)
		wire.PutIPv4(b[wire.EthernetLen:], wire.ProtoUDP, client, wire.AddrFrom(vip), 8+size)
		udp := b[wire.EthernetLen+wire.IPv4Len:]
		binary.BigEndian.PutUint16(udp, 1000)
		binary.BigEndian.PutUint16(udp[2:], 53)
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
		return b
	}
	// forwards sends frames until one has been forwarded.
	forwards := func(when string) {
		t.Helper()
		before := e.Stats().VIPs[0].Packets
		for limit := time.Now().Add(10 * time.Second); e.Stats().VIPs[0].Packets == before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%s: nothing is forwarded\n%s\n%+v", when, log, e.Stats())
			}
			write(0, to(20))
		}
	}
	forwards("at first")
	for n := range uint64(3) {
		lost := e.Stats().Lost
		write(unix.VIRTIO_NET_HDR_GSO_UDP, to(3000))
		forwards("afterwards")
		s := e.Stats()
		if s.Lost == lost {
			t.Skip("this kernel describes such frames")
		}
		if s.Reopened != n+1 {
			t.Errorf("reopened %d times, want %d", s.Reopened, n+1)
		}
	}
	if n := strings.Count(log.String(), "has stopped a ring of tap0"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
}
