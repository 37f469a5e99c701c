package dsr

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

// VIPs that share an address are told apart as in user space, and each has its own count.
func TestVIPsOfOneAddress(t *testing.T) {
	testnet.Need(t, testnet.Root)
	a, b := web.Netip(), dns.Netip()
	for _, vips := range [][]VIP{
		{{a, 80, TCP}},
		{{a, 80, UDP}},
		{{a, 80, Both}, {b, 81, TCP}},
		{{a, 0, TCP}},
		{{a, 0, Both}, {b, 0, Both}},
		{{a, 80, TCP}, {a, 81, TCP}},
		{{a, 80, TCP}, {a, 80, Both}},
		{{a, 80, TCP}, {a, 0, Both}},
		{{a, 0, Both}, {a, 80, TCP}},
		{{a, 0, TCP}, {a, 80, UDP}, {a, 0, UDP}},
		{{b, 0, UDP}, {a, 80, UDP}, {b, 80, UDP}},
	} {
		t.Run(fmt.Sprint(vips), func(t *testing.T) {
			board := newBoard(t, 2)
			board.config.VIPs, board.config.Tarpit = vips, nil
			board.remake()
			for _, to := range []wire.Addr{web, dns} {
				for _, port := range []uint16{0, 80, 81, 82} {
					board.Process(board.tables, segment(client, to, 7, port, wire.FlagSYN), 0)
					board.Process(board.tables, datagram(client, to, 7, port), 0)
				}
			}
			want := packetsOf(vips, board.counts)
			for _, k := range board.mirror.kernels {
				if diff := cmp.Diff(want, packetsOf(vips, k.counts...)); diff != "" {
					t.Errorf("%s: packets per VIP, want -, got +\n%s", k.mode, diff)
				}
			}
		})
	}
}

// packetsOf are the packets that went to each VIP.
func packetsOf(vips []VIP, list ...*counts) []uint64 {
	n := make([]uint64, len(vips))
	for _, c := range list {
		for i := range n {
			n[i] += c.vips[i].packets.Load()
		}
	}
	return n
}

// What has been taken once is not taken again, by whomever.
func TestTakeCounts(t *testing.T) {
	t.Parallel()
	var count traffic
	var first, second Traffic
	count.add(100)
	count.add(50)
	first.take(&count)
	second.take(&count)
	count.add(60)
	second.take(&count)
	if first != (Traffic{2, 150}) || second != (Traffic{1, 60}) {
		t.Errorf("first %+v, second %+v", first, second)
	}
}
