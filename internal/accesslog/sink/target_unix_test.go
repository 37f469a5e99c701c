//go:build unix && !solaris

// The system that is left out has no Mkfifo in its package syscall.

package sink

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/accesslog"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	f, err := openFile("/dev/full")
	if err != nil {
		t.Skipf("no full device here: %v", err)
	}
	defer f.close()
	if lost, err := f.write([]byte("a\nb\n")); lost != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("lost %d, %v", lost, err)
	}
}

// TestPipe checks that a named pipe is no trap: without reader it cannot be opened, and when its reader sleeps lines
// are lost, whole ones, and the rest is in order.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile(path); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("open without reader: %v", err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()

	const lines = 40000
	lost, err := f.write([]byte(strings.Repeat("0123456789\n", lines)))
	if !errors.Is(err, os.ErrDeadlineExceeded) || lost == 0 || lost == lines {
		t.Fatalf("lost %d of %d, %v", lost, lines, err)
	}
	buf := make([]byte, lines*11)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(buf[:n])
	if lost, err := f.write([]byte("more\n")); lost != 0 || err != nil {
		t.Fatalf("lost %d, %v", lost, err)
	}
	for !strings.HasSuffix(rest, "more\n") {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		rest += string(buf[:n])
	}
	whole := strings.Count(rest, "0123456789\n")
	torn := strings.TrimSuffix(strings.TrimPrefix(rest, strings.Repeat("0123456789\n", whole)), "more\n")
	if len(torn) > 10 || torn != "" && !strings.HasSuffix(torn, "\n") {
		t.Errorf("%q between the last whole line and the next", torn)
	}
	if whole+lost != lines && torn == "" {
		t.Errorf("%d written and %d lost of %d", whole, lost, lines)
	}
}

// TestDeadHost checks that refusal is noticed, and that the line after it gets through once the host is back.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d, err := accesslog.ParseDest(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	h, err := dial(d)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	at := c.LocalAddr().(*net.UDPAddr)
	c.Close()
	if lost, err := h.write([]byte("a\nb\nc\nd\n")); lost == 0 || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("lost %d, %v", lost, err)
	}
	c2, err := net.ListenUDP("udp", at)
	if err != nil {
		t.Skipf("the port was taken: %v", err)
	}
	defer c2.Close()
	if lost, _ := h.write([]byte("e\n")); lost > 1 {
		t.Errorf("lost %d with the host back, want at most the one before", lost)
	}
	buf := make([]byte, 10)
	c2.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c2.Read(buf); err != nil || string(buf[:n]) != "e\n" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}
