package ring

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// signal adds 1 to the counter of an eventfd(2), which wakes whoever watches it for edges. Nobody reads the counter:
// 2^64 edges are enough.
func signal(fd int) {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(fd, one[:])
}
