package match

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

var from = netip.MustParseAddr("::ffff:127.0.0.1")

const web = `10.9.9.9 - - [09/Jan/2002:00:28:50 +0100] "%s" 404 268`

func TestCache(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name    string
		pen     []string
		request string
		want    string // the first word
	}{
		{"match", []string{"+ 192.0.2.77 127.0.0.1 GET /a HTTP/1.0\n"}, "GET /a HTTP/1.0", "192.0.2.77"},
		{"carriage return", []string{"+ 192.0.2.77 127.0.0.1 GET /a\r\n"}, "GET /a", "192.0.2.77"},
		{"mapped address", []string{"+ 192.0.2.77 ::ffff:127.0.0.1 GET /a"}, "GET /a", "192.0.2.77"},
		{"other request", []string{"+ 192.0.2.77 127.0.0.1 GET /a"}, "GET /b", "10.9.9.9"},
		{"beginning of a request", []string{"+ 192.0.2.77 127.0.0.1 GET /a"}, "GET /", "10.9.9.9"},
		{"other server", []string{"+ 192.0.2.77 127.0.0.2 GET /a"}, "GET /a", "10.9.9.9"},
		{"newest first", []string{"+ 192.0.2.1 127.0.0.1 GET /a", "+ 192.0.2.2 127.0.0.1 GET /a"}, "GET /a", "192.0.2.2"},
		{"escaped", []string{"+ 192.0.2.1 127.0.0.1 GET /\"\xff"}, `GET /\"\xff`, "192.0.2.1"},
		{"not escaped", []string{`+ 192.0.2.1 127.0.0.1 GET /\x41`}, `GET /\x41`, "192.0.2.1"},
		{"as long as a datagram allows", []string{"+ 192.0.2.1 127.0.0.1 " + long[:1000]}, long, "192.0.2.1"},
		{"empty", []string{"+ 192.0.2.1 127.0.0.1 "}, "", "192.0.2.1"},
		{"room for three", []string{"+ 192.0.2.1 127.0.0.1 GET /1", "+ 192.0.2.2 127.0.0.1 GET /2",
			"+ 192.0.2.3 127.0.0.1 GET /3"}, "GET /1", "192.0.2.1"},
		{"but not four", []string{"+ 192.0.2.1 127.0.0.1 GET /1", "+ 192.0.2.2 127.0.0.1 GET /2",
			"+ 192.0.2.3 127.0.0.1 GET /3", "+ 192.0.2.4 127.0.0.1 GET /4"}, "GET /1", "10.9.9.9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := NewCache(3)
			for _, l := range tt.pen {
				if !FromPen([]byte(l)) || !c.Learn([]byte(l)) {
					t.Fatalf("%q was not learned", l)
				}
			}
			line := fmt.Sprintf(web, tt.request)
			got, ok := c.Rewrite(nil, from, []byte(line+"\n"))
			if want := tt.want + strings.TrimPrefix(line, "10.9.9.9") + "\n"; string(got) != want || !ok {
				t.Errorf("got %q, %v, want %q", got, ok, want)
			}
		})
	}
}

func TestCacheRefuses(t *testing.T) {
	t.Parallel()
	c := NewCache(3)
	for _, l := range []string{"+", "+ ", "+ a", "+ a b", "+ a 127.0.0.1", "+ 1.2.3.4 999.9.9.9 x", "+ 1.2.3.4 localhost x",
		"+  127.0.0.1 x", "+ \x1b[1m 127.0.0.1 x", "+ a\nb 127.0.0.1 x", "+ " + strings.Repeat("a", 200) + " 127.0.0.1 x",
		"++ a 127.0.0.1 x"} {
		if c.Learn([]byte(l)) {
			t.Errorf("learned %q", l)
		}
	}
	for _, l := range []string{"", "word", `"x"`, "no quote", `a "open`} {
		if got, ok := c.Rewrite([]byte("before"), from, []byte(l)); ok || string(got) != "before" {
			t.Errorf("Rewrite(%q) = %q, %v", l, got, ok)
		}
	}
}

func TestLineIsPassedUnchanged(t *testing.T) {
	t.Parallel()
	for _, l := range []string{"10.9.9.9 - - \xff\x00 \"GET /\" 1\r", `10.9.9.9 "GET /" 1`} {
		if got, ok := NewCache(1).Rewrite(nil, from, []byte(l)); !ok || string(got) != l+"\n" {
			t.Errorf("Rewrite(%q) = %q, %v", l, got, ok)
		}
	}
}

func FuzzCache(f *testing.F) {
	f.Add([]byte("+ 192.0.2.1 127.0.0.1 GET /\n"), []byte("x - - [t] \"GET /\" 200\n"))
	f.Add([]byte("+ 1.2.3.4 999.9.9.9 x"), []byte(`x "\`))
	f.Fuzz(func(t *testing.T, pen, web []byte) {
		c := NewCache(2)
		for range 3 {
			c.Learn(pen)
		}
		if n := c.index.Len(); n > 2 {
			t.Fatalf("%d entries", n)
		}
		got, ok := c.Rewrite(nil, from, web)
		if !ok {
			return
		}
		_, rest, _ := bytes.Cut(bytes.TrimSuffix(web, []byte("\n")), []byte(" "))
		if !bytes.HasSuffix(got, append(append([]byte(" "), rest...), '\n')) {
			t.Fatalf("%q became %q", web, got)
		}
	})
}
