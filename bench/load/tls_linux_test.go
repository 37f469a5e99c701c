package load

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/bench/peer"
)

// encryptedServer answers one request on each connection, or sends without end.
func encryptedServer(t *testing.T) net.Listener {
	t.Helper()
	path, err := peer.WriteCert(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, chunkBytes)
				if _, err := io.ReadFull(c, b[:HeaderBytes]); err != nil {
					return
				}
				request, reply := header(b)
				if reply == endless {
					for err == nil {
						_, err = c.Write(b)
					}
					return
				}
				if request != endless {
					_, _ = io.CopyN(io.Discard, c, int64(request)-HeaderBytes)
					_, _ = c.Write(b[:reply])
				}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l
}

func TestTLS(t *testing.T) {
	l := encryptedServer(t)
	for _, g := range []Group{
		{Name: "full", Kind: Short, TLS: Full, Conns: 2, Request: 64, Reply: 64},
		{Name: "resumed", Kind: Short, TLS: Resumed, Conns: 2, Request: 64, Reply: 64},
		{Name: "down", Kind: Down, TLS: Full, Conns: 2},
		{Name: "up", Kind: Up, TLS: Full, Conns: 2},
		{Name: "idle", Kind: Idle, TLS: Full, Conns: 5, Request: 64, Reply: 64},
	} {
		spec := &Spec{Target: l.Addr().(*net.TCPAddr).AddrPort(), Groups: []Group{g}, Measure: 100 * time.Millisecond}
		if err := spec.Check(); err != nil || !spec.encrypted() {
			t.Fatalf("%s: %v", g.Name, err)
		}
		var out bytes.Buffer
		if err := generateTLS(spec, strings.NewReader("x"), &out); err != nil {
			t.Errorf("%s: %v", g.Name, err)
			continue
		}
		var lines []string
		for s := bufio.NewScanner(&out); s.Scan(); {
			lines = append(lines, s.Text())
		}
		if len(lines) != 4 || lines[0] != Ready || lines[1] != Started || lines[2] != Stopped {
			t.Fatalf("%s: says %q", g.Name, lines)
		}
		var r Result
		if err := json.Unmarshal([]byte(lines[3]), &r); err != nil {
			t.Fatal(err)
		}
		got := r.Groups[0]
		if got.Errors > 0 || (got.Done > 0) != (g.Kind == Short) || (got.Bytes > 0) != (g.Kind != Idle) {
			t.Errorf("%s: %+v", g.Name, got)
		}
	}
	bad := Spec{Target: l.Addr().(*net.TCPAddr).AddrPort(), Measure: 1,
		Groups: []Group{{Kind: Ping, TLS: Full, Conns: 1, Request: 64, Reply: 64}}}
	if bad.Check() == nil {
		t.Error("what TLS clients cannot do is accepted")
	}
}
