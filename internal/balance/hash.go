package balance

import (
	"encoding/binary"
	"math/bits"
)

// The key of byHash. It is fixed, for pens that share a list of servers must agree where a client belongs, also
// after an update: changing it moves nearly all clients of every user.
const hashKey0, hashKey1 = 0x6f6c2061206e6570, 0x726563616c61622d

// byHash is the index that the address of c stands for in a table of n; with round robin the port counts as well.
// Whether that server is available plays no part: failover walks on from it. An IPv4 client that arrives on an IPv6
// listener is the same client.
//
// pen: takes the first octets modulo n on little-endian machines, which sent a whole /8 to one of two servers, and
// of IPv6 the last octet alone.
func byHash(n int, r *Rules, c *Client) int {
	if n == 0 {
		return None
	}
	a := c.Addr.As16() // all zero for a Unix client
	m0, m1 := binary.LittleEndian.Uint64(a[:8]), binary.LittleEndian.Uint64(a[8:])
	tail := uint64(16) << 56
	if r.RoundRobin {
		tail = 18<<56 | uint64(c.Port)
	}
	return int(sipHash(hashKey0, hashKey1, m0, m1, tail) % uint64(n))
}

// sipHash is SipHash-2-4 (Aumasson and Bernstein, 2012) of a message of three words, the last of which holds what is
// left of it and its length.
func sipHash(k0, k1, m0, m1, tail uint64) uint64 {
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	for _, m := range [...]uint64{m0, m1, tail} {
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
