package sock

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// TestLargerThanMTU sends what has to be fragmented, alone and in a train, between datagrams that fit.
func TestLargerThanMTU(t *testing.T) {
	ns, err := NewNamespace()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("needs root: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	for _, tt := range []struct {
		name    string
		sizes   []int
		segment int
		want    []int
	}{
		{"single", []int{100, 4000, 100, 60000}, 0, []int{100, 4000, 100, 60000}},
		{"several of one size", []int{4000, 4000, 4000}, 0, []int{4000, 4000, 4000}},
		{"train", []int{9000}, 4000, []int{4000, 4000, 1000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := InNamespace(int(ns.Fd()), func() error {
				if out, err := exec.Command("ip", "link", "set", "lo", "mtu", "1500", "up").CombinedOutput(); err != nil {
					t.Fatalf("ip: %v: %s", err, out)
				}
				sv := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Buffer: 1 << 20})
				cl := openDatagram(t, &DatagramOptions{Bind: at("127.0.0.1:0"), Unreachable: true})
				b := NewBatch()
				for _, n := range tt.sizes {
					b.Send(cl.FD(), false, &Datagram{Data: make([]byte, n), Remote: sv.endpoint(), Segment: tt.segment})
				}
				b.Flush()
				if b.Lost != 0 || b.Sent != uint64(len(tt.want)) {
					t.Errorf("sent %d, lost %d", b.Sent, b.Lost)
				}
				var got []int
				for len(got) < len(tt.want) {
					until(t, sv.FD(), 1)
					ds, e := b.Recv(sv.FD(), batchLen)
					if e != 0 {
						t.Fatal(e)
					}
					for i := range ds {
						got = append(got, len(ds[i].Data))
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("received %v, want %v", got, tt.want)
				}
				for _, d := range b.Unreachable(cl.FD()) {
					t.Errorf("news: %+v", d)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
