package balance

import (
	"fmt"
	"testing"
)

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 10000} {
		cs := make([]Config, n)
		for i := range cs {
			cs[i] = Config{Max: 1000000, Weight: 1 + i%3, Prio: i % 5}
		}
		s := newService(b, nil, cs...)
		for _, bc := range []struct {
			name   string
			rules  Rules
			client Client
		}{
			{"tracked", Rules{}, Client{Addr: localhost, Server: n / 2}},
			{"roundrobin", Rules{RoundRobin: true}, newcomer},
			{"hash", Rules{Hash: true}, newcomer},
			{"weight", Rules{Weight: true}, newcomer},
			{"prio", Rules{Prio: true}, newcomer},
		} {
			b.Run(fmt.Sprintf("%s/%d", bc.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.Release(s.Pick(&bc.rules, &bc.client, now))
				}
			})
		}
	}
}

func BenchmarkPickParallel(b *testing.B) {
	s := newService(b, nil, make([]Config, 10)...)
	r := &Rules{RoundRobin: true}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Release(s.Pick(r, &newcomer, now))
		}
	})
}
