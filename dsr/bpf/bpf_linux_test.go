package bpf

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The programs load where words can only be read from where words begin, too.
func TestStrictAlignment(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for name, read := range map[string]func() (*ebpf.CollectionSpec, error){"tc": TC, "xdp": XDP} {
		spec, err := read()
		if err != nil {
			t.Fatal(err)
		}
		spec.Programs[Program].Flags |= unix.BPF_F_STRICT_ALIGNMENT
		c, err := ebpf.NewCollection(spec)
		if err != nil {
			t.Errorf("%s: %+v", name, err)
			continue
		}
		info, err := c.Programs[Program].Info()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := info.VerifiedInstructions()
		t.Logf("%s: %d instructions verified", name, n)
		c.Close()
	}
}
