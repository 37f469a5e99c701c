package control

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// asNobody runs f with the file permissions of a user without any, on a thread of its own.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// TestReplaceFileInJail has a file that may be written in a directory that may not.
func TestReplaceFileInJail(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "pen") // t.TempDir may lie where only root comes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := dir + "/cfg"
	if err := os.WriteFile(path, []byte("old contents, longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Skipf("needs root, to give a file away: %v", err)
	}
	asNobody(t, func() {
		if err := ReplaceFile(path, []byte("new")); err != nil {
			t.Error(err)
		}
		if err := ReplaceFile(dir+"/new", []byte("new")); !os.IsPermission(err) {
			t.Errorf("a new file: %v", err)
		}
	})
	if b, err := os.ReadFile(path); string(b) != "new" {
		t.Errorf("file %q, %v", b, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestReplaceKeepsOwner has root replace a file of somebody else.
func TestReplaceKeepsOwner(t *testing.T) {
	t.Parallel()
	path := files(t, map[string]string{"cfg": "old"}) + "/cfg"
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Skipf("needs root, to give a file away: %v", err)
	}
	if err := ReplaceFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); st.Uid != nobody || st.Gid != nobody || fi.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, fi.Mode())
	}
}

// TestWriteErrorsAreTold has a full disk and a FIFO that nobody reads.
func TestWriteErrorsAreTold(t *testing.T) {
	t.Parallel()
	fifo := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/dev/full": "no space left on device", fifo: "no such device or address"} {
		e, _, log := newEnv(t)
		if got := do(e, "write "+path); got != "" || !strings.Contains(log.String(), want) {
			t.Errorf("%s: reply %q, log %q", path, got, log)
		}
		if got := do(e, "json write "+path); !strings.Contains(got, `{"error":"write: `) || !strings.Contains(got, want) {
			t.Errorf("%s: reply %q", path, got)
		}
	}
}
