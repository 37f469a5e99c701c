package sock

import (
	"net/netip"
	"path/filepath"
	"testing"
)

// TestConnectAllocatesNothing covers what a loop does per connection.
func TestConnectAllocatesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    *Addr
		o    *Options
	}{
		{"ip", tcp("127.0.0.1:0"), &Options{NoDelay: true, Congestion: "cubic", Bind: netip.MustParseAddrPort("127.0.0.1:0")}},
		{"unix", &Addr{Path: filepath.Join(t.TempDir(), "s")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := mustListen(t, tt.a, nil)
			a := l.Addr()
			var b [8]byte
			n := testing.AllocsPerRun(10, func() {
				fd, err := Open(&a, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				Connect(fd, &a)
				until(t, l.FD(), 1)
				got, _, e := Accept(l.FD())
				if e != 0 {
					t.Fatal(e)
				}
				Send(fd, b[:])
				until(t, got, 1)
				Recv(got, b[:])
				Error(fd)
				Local(got)
				Peer(got)
				SetAbort(fd)
				Close(fd)
				Close(got)
			})
			if n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
