package accesslog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	client = netip.MustParseAddr("192.0.2.8")
	server = netip.MustParseAddr("10.0.0.1")
)

func TestAppend(t *testing.T) {
	t.Parallel()
	x100 := strings.Repeat("x", 100)
	tests := []struct {
		name           string
		line           Line
		file, datagram string
	}{
		{"request", Line{Request: []byte("GET / HTTP/1.0\r\nHost: x\r\n\r\n")}, "GET / HTTP/1.0", "GET / HTTP/1.0"},
		{"newline alone ends it", Line{Request: []byte("a b\nc")}, "a b", "a b"},
		{"nothing", Line{}, "", ""},
		{"empty first line", Line{Request: []byte("\r\nabc")}, "", ""},
		{"blanks are kept", Line{Request: []byte("  sp  \n")}, "  sp  ", "  sp  "},
		{"99 bytes", Line{Request: []byte(x100[1:])}, x100[1:], x100[1:]},
		{"100 bytes", Line{Request: []byte(x100)}, x100, x100},
		{"101 bytes", Line{Request: []byte(x100 + "y")}, x100, x100 + "y"},
		{"not plain", Line{Request: []byte("a\x00b\x1b[1m\x7f\tz\xc3\xa9")}, "a.b.[1m.\tz..", "a\x00b\x1b[1m\x7f\tz\xc3\xa9"},
		{"long", Line{Request: bytes.Repeat([]byte("z"), 5000)}, strings.Repeat("z", 100),
			strings.Repeat("z", 1024-len("+ 192.0.2.8 10.0.0.1 \n"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.line.Client, tt.line.Server, tt.line.Time = client, server, 1795173458_999999999
			want := "192.0.2.8 1795173458 10.0.0.1 " + tt.file + "\n"
			if d := cmp.Diff(want, string(File.Append(nil, &tt.line))); d != "" {
				t.Errorf("file (-want +got):\n%s", d)
			}
			want = "+ 192.0.2.8 10.0.0.1 " + tt.datagram + "\n"
			if d := cmp.Diff(want, string(Datagram.Append(nil, &tt.line))); d != "" {
				t.Errorf("datagram (-want +got):\n%s", d)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		client, server netip.Addr
		path, want     string
	}{
		{"IPv6", netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1%eth0"), "", "2001:db8::1 0 fe80::1 x\n"},
		{"Unix client", netip.Addr{}, server, "", "unix 0 10.0.0.1 x\n"},
		{"Unix server", client, netip.Addr{}, "/run/a b\nc\xff", "192.0.2.8 0 /run/a?b?c? x\n"},
		{"long path", client, netip.Addr{}, strings.Repeat("/", 1000), "192.0.2.8 0 " + strings.Repeat("/", maxPath) + " x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := Line{Client: tt.client, Server: tt.server, Path: tt.path, Request: []byte("x")}
			if d := cmp.Diff(tt.want, string(AppendFile(nil, &l))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	l := Line{
		Time: 1795173458_123456789, Client: client, Server: server, Up: 12, Down: 1 << 60,
		Duration: 1500 * time.Millisecond, Cause: "server", Request: []byte("GET \"\\\x1b\t\xff\r\nx"),
	}
	want := `{"time":"2026-11-20T11:17:38.123Z","client":"192.0.2.8","server":"10.0.0.1","up":12,` +
		`"down":1152921504606846976,"seconds":1.500,"cause":"server","request":"GET \"\\.\t."}` + "\n"
	if d := cmp.Diff(want, string(JSON.Append(nil, &l))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func worst() *Line {
	return &Line{
		Time: -1 << 63, Client: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%zone"),
		Path: strings.Repeat(`"`, 4096), Up: 1<<64 - 1, Down: 1<<64 - 1, Duration: 1<<63 - 1,
		Cause: strings.Repeat(`\`, 4096), Request: bytes.Repeat([]byte(`"`), 4096),
	}
}

func TestMaxLine(t *testing.T) {
	t.Parallel()
	for f := File; f <= JSON; f++ {
		if n := len(f.Append(nil, worst())); n > MaxLine {
			t.Errorf("format %d: %d bytes", f, n)
		}
	}
	if n := len(AppendDatagram(nil, worst())); n != maxDatagram {
		t.Errorf("a long datagram has %d bytes", n)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, MaxLine)
	for f := File; f <= JSON; f++ {
		for _, l := range []*Line{worst(), {Client: client, Server: server, Request: []byte("GET / HTTP/1.0\r\n")}} {
			if n := testing.AllocsPerRun(100, func() { f.Append(dst, l) }); n != 0 {
				t.Errorf("format %d: %v allocations", f, n)
			}
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"), "/run/x", "client")
	f.Add([]byte("\xff\"\\\x00\n"), "\n\xff", "\"\\\x00\xff")
	f.Fuzz(func(t *testing.T, request []byte, path, cause string) {
		l := Line{Client: client, Path: path, Cause: cause, Request: request}
		for f := File; f <= JSON; f++ {
			b := f.Append([]byte("before"), &l)[len("before"):]
			if len(b) > MaxLine || bytes.IndexByte(b, '\n') != len(b)-1 {
				t.Fatalf("format %d: not one line of at most %d bytes: %q", f, MaxLine, b)
			}
			if f == JSON && !json.Valid(b) {
				t.Fatalf("not JSON: %q", b)
			}
		}
	})
}
