package main

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sent collects the datagrams.
type sent []string

func (s *sent) Write(b []byte) (int, error) {
	*s = append(*s, string(b))
	return 0, errors.New("refused") // which must not matter
}

func TestSend(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	tests := []struct {
		name, in string
		want     sent
	}{
		{"lines", "a\nb\n", sent{"a\n", "b\n"}},
		{"end without newline", "a\nb", sent{"a\n", "b"}},
		{"empty line", "\n", sent{"\n"}},
		{"nothing", "", nil},
		{"as long as it may be", long[1:] + "\n", sent{long[1:] + "\n"}},
		{"longer", long + long + "\nb\n", sent{long[1:] + "\n", "b\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got sent
			if err := send(&got, iotest.HalfReader(strings.NewReader(tt.in))); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	errDisk := errors.New("disk")
	if err := send(&sent{}, iotest.ErrReader(errDisk)); !errors.Is(err, errDisk) {
		t.Errorf("error %v", err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	var stderr bytes.Buffer
	if status := run(env{[]string{"127.0.0.1", port, "127.0.0.35"}, strings.NewReader("a line\n"), &stderr}); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 100)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "a line\n" || from.Addr().Unmap().String() != "127.0.0.35" {
		t.Errorf("%q from %s, %v", buf[:n], from, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "127.0.0.1", "127.0.0.1 no-such-service", "127.0.0.1 9 192.0.2.1", "127.0.0.1 9 1.2.3.4.5"} {
		var stderr bytes.Buffer
		if status := run(env{strings.Fields(args), strings.NewReader(""), &stderr}); status != 1 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %q", args, status, stderr.String())
		}
	}
}
