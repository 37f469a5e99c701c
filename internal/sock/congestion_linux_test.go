package sock

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCongestionIsSet reads back what Open has set. Every Linux has reno.
func TestCongestionIsSet(t *testing.T) {
	if err := TryCongestion("reno"); err != nil {
		t.Fatal(err)
	}
	a := Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:1")}
	fd, err := Open(&a, &Options{Congestion: "reno"})
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if name = strings.TrimRight(name, "\x00"); err != nil || name != "reno" {
		t.Errorf("%q, %v", name, err)
	}
}
