package wire

import "encoding/binary"

// Sum adds b to sum as the Internet checksum does, in ones' complement (RFC 1071). Only the last of several pieces of a
// message may have an odd length.
func Sum(sum uint64, b []byte) uint64 {
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// Fold makes the checksum of a sum. Over a message that contains its own correct checksum it is 0.
func Fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// PseudoSum is the sum of the pseudo header that TCP, UDP and ICMPv6 count in (RFC 9293, 3.1; RFC 8200, 8.1). length
// is that of the transport header and what follows it.
func PseudoSum(src, dst *Addr, proto uint8, length int) uint64 {
	sum := uint64(proto) + uint64(length)
	sum = Sum(sum, src.Bytes())
	return Sum(sum, dst.Bytes())
}

// Update is the checksum sum after a 16-bit word of the message has changed (RFC 1624, equation 3).
func Update(sum, before, after uint16) uint16 {
	return Fold(uint64(^sum) + uint64(^before) + uint64(after))
}
