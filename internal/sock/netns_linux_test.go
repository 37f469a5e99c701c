package sock

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
)

func TestNamespace(t *testing.T) {
	ns, err := NewNamespace()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("needs root: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var inside []net.Interface
	err = InNamespace(int(ns.Fd()), func() (err error) { inside, err = net.Interfaces(); return })
	if err != nil || len(inside) == 0 || len(inside) > 8 {
		t.Errorf("interfaces inside: %v, %v; want lo and the fallback tunnels", inside, err)
	}
	for _, i := range inside {
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up in a new namespace", i.Name)
		}
	}
	if err := InNamespace(int(ns.Fd()), func() error { runtime.Goexit(); return nil }); !errors.Is(err, errGoexit) {
		t.Errorf("after Goexit: %v", err)
	}
	if err := InNamespace(-1, func() error { t.Error("ran outside"); return nil }); err == nil {
		t.Error("no error for a bad descriptor")
	}
	if out, err := net.Interfaces(); err != nil || !up(out) {
		t.Errorf("interfaces of the caller: %v, %v", out, err)
	}
}

func up(ifs []net.Interface) bool {
	for _, i := range ifs {
		if i.Flags&net.FlagUp != 0 {
			return true
		}
	}
	return false
}
