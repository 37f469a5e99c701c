package tlsloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// crypto/tls must not remember a temporary error, nor lose a part of a record: the data phase rests on both. It looks
// at the deprecated net.Error.Temporary, so this test tells when that changes.
func TestTemporary(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	tap := &held{Conn: a}
	client := tls.Client(tap, &tls.Config{RootCAs: pool, ServerName: "site.test"})
	gate := &gate{Conn: b}
	server := tls.Server(gate, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := tap.flush(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, _ = client.Write([]byte("hello"))
	record := tap.b.Bytes()
	gate.shut = true
	p := make([]byte, 10)
	for i := range record {
		if n, err := server.Read(p); n != 0 || !errors.Is(err, errAgain) {
			t.Fatalf("after %d of %d bytes: %d, %v", i, len(record), n, err)
		}
		gate.in = record[i : i+1]
	}
	n, err := server.Read(p)
	if err != nil || string(p[:n]) != "hello" {
		t.Errorf("got %q, %v", p[:n], err)
	}
	gate.end = true
	if _, err := server.Read(p); !errors.Is(err, io.EOF) {
		t.Errorf("a FIN between records is %v", err)
	}
}

// gate is a connection that, once shut, has only what is in it.
type gate struct {
	net.Conn
	shut, end bool
	in        []byte
}

func (g *gate) Read(p []byte) (int, error) {
	switch {
	case !g.shut:
		return g.Conn.Read(p)
	case len(g.in) > 0:
		n := copy(p, g.in)
		g.in = g.in[n:]
		return n, nil
	case g.end:
		return 0, io.EOF
	}
	return 0, errAgain
}
