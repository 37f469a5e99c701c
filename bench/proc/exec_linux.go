package proc

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

// Exec replaces the calling program by argv, pinned to processor cpu (negative: not pinned), preferred (see Prefer), and
// allowed as many open files as the hard limit permits. It only returns an error.
func Exec(cpu int, argv, env []string) error {
	runtime.LockOSThread() // the thread that execs is the one whose affinity survives
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	if cpu >= 0 {
		if err := pin(cpu); err != nil {
			return fmt.Errorf("pin to processor %d: %w", cpu, err)
		}
	}
	Prefer()
	// Setting the limit also keeps package syscall from restoring the lower one that it found at the start.
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return fmt.Errorf("exec %s: %w", path, syscall.Exec(path, argv, env))
}

// pin binds the calling thread to one processor; sched_setaffinity(2).
func pin(cpu int) error {
	var mask [1024 / 64]uint64 // CPU_SETSIZE bits
	if cpu >= len(mask)*64 {
		return syscall.EINVAL
	}
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if errno != 0 {
		return errno
	}
	return nil
}

// preferred is the niceness of all that is measured; see package lab, which does the same for the session.
const preferred = -10

// Prefer puts the calling thread, and the programs it starts, before the other work of the machine, where the system
// allows it.
func Prefer() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, preferred) // without the privilege, figures are noisier, not wrong
}

// OpenFiles is how many files a process started by Exec may hold.
func OpenFiles() (uint64, error) {
	var files syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	return files.Max, err
}

// child are the attributes of every started process: it must not outlive us, even if we are killed.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
