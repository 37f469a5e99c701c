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

func TestHelloIsHere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"nothing", nil, false},
		{"a part of the header", []byte{22, 3, 1, 0}, false},
		{"a part of the record", []byte{22, 3, 1, 0, 2, 1}, false},
		{"a record", []byte{22, 3, 1, 0, 1, 1}, true},
		{"a record and more", []byte{22, 3, 1, 0, 1, 1, 2}, true},
		{"text", []byte("G"), true},
		{"too long to be a record", []byte{22, 3, 1, 0xff, 0xff}, true},
	}
	for _, tt := range tests {
		if got := helloIsHere(tt.in); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Once there, more bytes change nothing, and no input needs more than one record.
func FuzzHelloIsHere(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 1, 1}, []byte{0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		whole := append(append([]byte(nil), a...), b...)
		if helloIsHere(a) && !helloIsHere(whole) {
			t.Errorf("%x is complete, and with %x it is not", a, b)
		}
		if len(whole) >= recordHeader+maxRecord && !helloIsHere(whole) {
			t.Errorf("%d bytes are not enough", len(whole))
		}
	})
}
