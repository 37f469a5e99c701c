package client

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func BenchmarkTouch(b *testing.B) {
	for _, n := range []int{10, 1_000_000} {
		tb := New(n)
		for i := range n {
			tb.Touch(addr(i), start, 0)
		}
		b.Run(fmt.Sprintf("known/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tb.Touch(addr(rand.IntN(n)), start, time.Hour)
			}
		})
		b.Run(fmt.Sprintf("evict/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := n
			for b.Loop() {
				tb.Touch(addr(i), start, time.Hour)
				i++
			}
		})
	}
}

func BenchmarkTouchParallel(b *testing.B) {
	for _, n := range []int{2048, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tb := New(n)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, _ := tb.Touch(addr(rand.IntN(n)), start, time.Hour)
					tb.Add(r, 1, 1)
				}
			})
		})
	}
}
