package ring

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidURing makes io_uring_setup(2) fail with errno on the calling thread, as the seccomp filter of a container does.
func forbidURing(errno syscall.Errno) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

const seccompChild = "PEN_RING_SECCOMP"

// TestURingUnderSeccomp runs itself as a child whose thread may not set up a ring: the next engine is taken, and the
// reason says why.
func TestURingUnderSeccomp(t *testing.T) {
	if kind := os.Getenv(seccompChild); kind != "" {
		probeForbidden(t, map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOSYS": syscall.ENOSYS}[kind])
		return
	}
	for _, tt := range []struct{ errno, reason string }{
		{"EPERM", "forbidden, as by the seccomp filter of a container"},
		{"ENOSYS", "not in this kernel, or forbidden by a seccomp filter"},
	} {
		t.Run(tt.errno, func(t *testing.T) {
			if v := uringDisabled(); tt.errno == "EPERM" && v != "" && v != "0" {
				t.Skipf("kernel.io_uring_disabled=%s is the reason given", v)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestURingUnderSeccomp$", "-test.v")
			cmd.Env = append(os.Environ(), seccompChild+"="+tt.errno)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"uring: " + tt.reason, "taken: epoll"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}

// probeForbidden is the child.
func probeForbidden(t *testing.T, errno syscall.Errno) {
	runtime.LockOSThread() // and not back: the filter stays on this thread
	if err := forbidURing(errno); err != nil {
		t.Fatal(err)
	}
	for _, a := range Probe() {
		t.Logf("%s: %s", a.Name, a.Reason)
	}
	l, err := Open("", Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("taken: %s", l.Engine())
	l.Stop()
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
}
