package sock

import "golang.org/x/sys/unix"

// fileCeiling is the highest soft limit. The hard one is often infinite, but the kernel refuses more than this.
func fileCeiling(hard uint64) uint64 {
	n, err := unix.SysctlUint32("kern.maxfilesperproc")
	if err != nil {
		return min(hard, 10240) // OPEN_MAX
	}
	return min(hard, uint64(n))
}
