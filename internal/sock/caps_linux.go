package sock

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Capability is a part of root's power, see capabilities(7).
type Capability uint

// The capabilities that the program may have use for when it is not root any more.
const (
	CapNetBindService Capability = unix.CAP_NET_BIND_SERVICE // listen on ports below 1024
	CapNetAdmin       Capability = unix.CAP_NET_ADMIN        // transparent sockets, programs on interfaces
	CapNetRaw         Capability = unix.CAP_NET_RAW          // packet sockets
	CapBPF            Capability = unix.CAP_BPF
)

// KeepCapabilities lets all threads keep what they may do over the change from root to another user, until
// LimitCapabilities says how much of it stays. Not usable in a program that contains C.
func KeepCapabilities() error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl PR_SET_KEEPCAPS", errno)
	}
	return nil
}

// LimitCapabilities leaves exactly caps to all threads, effective at once, and nothing to programs that they start.
func LimitCapabilities(caps ...Capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range caps {
		d := &data[c/32]
		d.Permitted |= 1 << (c % 32)
		d.Effective |= 1 << (c % 32)
	}
	// The kernel reads both structs during the call only, and pid 0 is the thread that calls.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}
