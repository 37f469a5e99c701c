package acl

import (
	"fmt"
	"net/netip"
	"testing"
)

func BenchmarkPermits(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		tb := fill(b, n)
		for name, a := range map[string]netip.Addr{
			"first": netip.MustParseAddr("10.0.0.0"),
			"none":  netip.MustParseAddr("192.0.2.1"),
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					tb.Permits(0, a)
				}
			})
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				fill(b, n)
			}
		})
	}
}
