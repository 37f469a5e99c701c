package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// bpffs mounts a BPF file system until the end of the test.
func bpffs(t *testing.T) string {
	t.Helper()
	testnet.Need(t, testnet.Root)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "bpf", "bpf", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// Connections live through the end of pen, however abrupt, and new ones are made all the while: twice, or again and again
// as long as PEN_SOAK says.
func TestDSRPinned(t *testing.T) {
	for _, mode := range []string{"tc", "xdp-generic"} {
		t.Run(mode, func(t *testing.T) { testDSRPinned(t, mode) })
	}
}

func testDSRPinned(t *testing.T, mode string) {
	i := newIsland(t, "-O", "dsr_mode "+mode, "-O", "dsr_pin "+bpffs(t), "-O", "roundrobin", "10.7.0.100", "10.7.0.3", "10.7.0.4")
	for _, h := range i.servers {
		testnet.Serve(t, h.Listen("tcp", "10.7.0.100:7"), testnet.Echo())
	}
	var rounds atomic.Int64
	stop, failed := make(chan struct{}), make(chan error, 64)
	for n := range cap(failed) {
		c, err := i.client.Dial("tcp", "10.7.0.100:7")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() { failed <- exchange(c, n, &rounds, stop) }()
	}
	alive := func(when string) {
		t.Helper()
		from := rounds.Load()
		await(t, "connections to go on "+when, func() bool { return rounds.Load() > from+100 || len(failed) > 0 })
		for range 10 {
			if got := i.who("10.7.0.100:80", "10.7.0.10"); got != "0" && got != "1" {
				t.Errorf("a new connection %s gets %s", when, got)
			}
		}
	}
	alive("with the first pen")
	begin, ends := time.Now(), 0
	for ; ends < 2 || time.Since(begin) < soakFor(t); ends++ {
		if err := i.process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = i.process.Wait()
		alive("without pen")
		if err := os.Remove(i.ctl); err != nil {
			t.Fatal(err)
		}
		i.swap()
		i.start()
		alive("with the next pen")
	}
	t.Logf("%d exchanges by %d connections, through %d ends of pen", rounds.Load(), cap(failed), ends)
	close(stop)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	i.stop()
	if got := i.who("10.7.0.100:80", "10.7.0.10"); got == "-" {
		t.Error("forwarding ended with pen")
	}
}

// swap names the servers the other way round, which must not make a difference for open connections.
func (i *island) swap() {
	n := len(i.args)
	i.args[n-1], i.args[n-2] = i.args[n-2], i.args[n-1]
}

// exchange sends and gets back until stop.
func exchange(c net.Conn, n int, rounds *atomic.Int64, stop <-chan struct{}) error {
	text, got := fmt.Appendf(nil, "connection %d", n), make([]byte, 100)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(text); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, got[:len(text)]); err != nil {
			return err
		}
		if !bytes.Equal(got[:len(text)], text) {
			return fmt.Errorf("got %q, want %q", got[:len(text)], text)
		}
		rounds.Add(1)
	}
}
