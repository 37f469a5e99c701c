package proc

import (
	"syscall"
	"time"
	"unsafe"
)

// cpuTime reads the CPU clock of another process: clock_getcpuclockid(3), CPUCLOCK_SCHED of include/linux/posix-timers.h.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2
	clock := int32(^pid)<<3 | sched
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0, errno
	}
	return time.Duration(ts.Nano()), nil
}
