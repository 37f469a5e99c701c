package header

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	proto  = "X-Forwarded-Proto: http\r\n"
	client = "X-Forwarded-For: 192.0.2.7\r\n"
	added  = proto + client
)

// Where $ stands in a stream the server gets the added headers; what stands between < and > it does not get, and what
// stands between { and } only it gets.
var streams = []struct {
	name   string
	cfg    Config
	stream string
	state  state
}{
	{"no fields", Config{}, "GET / HTTP/1.0\r\n$\r\n", inStart},
	{"after the last field", Config{}, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n$\r\n", inStart},
	{"https", Config{HTTPS: true}, "GET / HTTP/1.1\r\n{X-Forwarded-Proto: https\r\n" + client + "}\r\n", inStart},
	{"bare LF", Config{}, "GET / HTTP/1.1\nHost: h\n{X-Forwarded-Proto: http\nX-Forwarded-For: 192.0.2.7\n}\n", inStart},
	{"empty lines before", Config{}, "\r\n\nGET / HTTP/1.1\r\n$\r\n\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"lower case", Config{}, "get / http/1.0\r\n$\r\n", inStart},
	{"any method", Config{}, "x!y / HTTP/1.1\r\n$\r\nPATCH / HTTP/1.1\r\n$\r\n", inStart},
	{"odd blanks", Config{}, "GET\t /a b  HTTP/1.1 \r\n$\r\n", inStart},
	{"foreign letters in the target", Config{}, "GET /\xc3\xa4 HTTP/1.1\r\n$\r\n", inStart},
	{"pipelined", Config{}, "GET /1 HTTP/1.1\r\n$\r\nGET /2 HTTP/1.1\r\nA: b\r\n$\r\nGET /3 HTTP/1.0\r\n$\r\n", inStart},
	{"long name", Config{}, "GET / HTTP/1.1\r\nX-Forwarded-Protocol: a\r\nX-Forwarded-Prot: b\r\n$\r\n", inStart},
	{"unfinished", Config{}, "GET / HTTP/1.1\r\nA: b\r\n", inField},
	{"unfinished name", Config{}, "GET / HTTP/1.1\r\nA: b\r\n<X-For>", inField},

	{"length", Config{}, "POST / HTTP/1.1\r\nContent-Length: 18\r\n$\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"length with blanks", Config{}, "POST / HTTP/1.1\r\ncontent-length:\t 003 \r\n$\r\nabcGET / HTTP/1.1\r\n$\r\n", inStart},
	{"same length twice", Config{}, "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n$\r\nabcGET / HTTP/1.1\r\n$\r\n", inStart},
	{"body to come", Config{}, "POST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n$\r\nabc", inBody},
	{"chunked", Config{}, "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n$\r\n" +
		"4\r\nGET \r\n0A;a=b;c=\"d\"\r\n0123456789\r\n1 \r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"trailer", Config{}, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked \r\n$\r\n" +
		"0\r\nA: b\r\nX-Forwarded-For: c\r\n\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"chunk to come", Config{}, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n$\r\nFFFFFFFFFFFFFFF\r\nabc", inChunk},

	{"keep both", Config{}, "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\nx-forwarded-PROTO: b\r\n\r\n", inStart},
	{"keep one", Config{}, "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\n" + "{" + proto + "}\r\n", inStart},
	{"keep the other", Config{}, "GET / HTTP/1.1\r\nX-Forwarded-Proto:\r\n" + "{" + client + "}\r\n", inStart},
	{"keep is per request", Config{}, "GET / HTTP/1.1\r\nX-Forwarded-For: a\r\n" + "{" + proto + "}\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"append", Config{Mode: Append}, "GET / HTTP/1.1\r\nx-forwarded-for: a{, 192.0.2.7}\r\nB: c\r\n", inField},
	{"append to a value", Config{Mode: Append}, "GET / HTTP/1.1\r\nX-Forwarded-For: a{, 192.0.2.7}\r\nB: c\r\n" + "{" + proto + "}\r\n", inStart},
	{"append to nothing", Config{Mode: Append}, "GET / HTTP/1.1\nX-Forwarded-For:{ 192.0.2.7}\nX-Forwarded-Proto: b\n\n", inStart},
	{"append to each", Config{Mode: Append}, "GET / HTTP/1.1\r\nX-Forwarded-For: a{, 192.0.2.7}\r\nX-Forwarded-For: b{, 192.0.2.7}\r\n" + "{" + proto + "}\r\n", inStart},
	{"append where absent", Config{Mode: Append}, "GET / HTTP/1.1\r\nX_Forwarded_For: a\r\n$\r\n", inStart},
	{"strict", Config{Mode: Strict}, "GET / HTTP/1.1\r\n<X-Forwarded-For: a\r\n>A: b\r\n<x-forwarded-proto: c\r\nX-Forwarded-For: d\r\n>$\r\n", inStart},
	{"strict bare LF", Config{Mode: Strict}, "GET / HTTP/1.1\r\n<X-Forwarded-For: a\n>A: b\r\n$\r\n", inStart},
	{"strict underscores", Config{Mode: Strict}, "GET / HTTP/1.1\r\n<X_Forwarded-For: a\r\nx_forwarded_proto: b\r\n>$\r\n", inStart},
	{"strict unfinished", Config{Mode: Strict}, "GET / HTTP/1.1\r\nA: b\r\n<X-Forwarded-For: a>", inValue},

	{"connect", Config{}, "CONNECT h:1 HTTP/1.1\r\n$\r\nGET / HTTP/1.1\r\n\r\n", raw},
	{"connect guarded", Config{Mode: Strict}, "CONNECT h:1 HTTP/1.1\r\n$\r\nGET / HTTP/1.1\r\n<X-Forwarded-For: a\r\n>$\r\n", inStart},
	{"connect to TLS", Config{Mode: Strict}, "CONNECT h:1 HTTP/1.1\r\n$\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n", raw},
	{"upgrade to websocket", Config{Mode: Append}, "GET / HTTP/1.1\r\nUpgrade: websocket\r\n$\r\n\x81\x85abcd\r\n\r\n", raw},
	{"upgrade declined", Config{}, "GET / HTTP/1.1\r\nUpgrade: h2c\r\n$\r\nGET / HTTP/1.1\r\n$\r\n", inStart},
	{"upgrade to h2c", Config{Mode: Strict}, "GET / HTTP/1.1\r\nUpgrade: h2c\r\n$\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", raw},
	{"insecure requests", Config{Mode: Strict}, "GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n$\r\n<?GET / HTTP/1.1\r\n\r\n>", refused},

	{"HTTP/2", Config{Mode: Strict}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", raw},
	{"HTTP/0.9", Config{}, "GET /\r\n\r\n", raw},
	{"TLS", Config{}, "\x16\x03\x01\x02\x00\x01GET / HTTP/1.1\r\n\r\n", raw},
	{"SMTP", Config{}, "EHLO h\r\nGET / HTTP/1.1\r\n\r\n", raw},
	{"words", Config{}, "HELO GET POST\r\n\r\nnonsense\r\n\r\n", raw},
	{"SSH", Config{}, "SSH-2.0-x\r\n", raw},
	{"RTSP", Config{}, "OPTIONS * RTSP/1.0\r\n\r\n", raw},
	{"one letter", Config{}, "a", inMethod},
	{"not HTTP after all", Config{}, "GET / HTTP/1.1\r\n$\r\n\x00GET / HTTP/1.1\r\n\r\n", raw},
	{"control characters for those in HTTP", Config{}, "GET / HTTP\x0f1.1\r\n\r\n", raw},
	{"a letter behind the version", Config{}, "GET / HTTP/1.1x\r\n\r\n", raw},
	{"a NUL in the first line", Config{Mode: Strict}, "GET \x00\r\nGET / HTTP/1.1\r\n\r\n", raw},
	{"a CR in the first line", Config{Mode: Strict}, "GET / HTTP/1.1\rA: b\r\n\r\n", raw},
	{"a CR that ends nothing", Config{}, "GET / HTTP/1.1\r\n$\rx\r\n\r\nGET / HTTP/1.1\r\n\r\n", raw},
	{"no minor version", Config{}, "GET / HTTP/1.\r\n\r\n", raw},
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in, want := sides(tt.stream)
			got, r := run(t, tt.cfg, client4, 4096, []byte(in))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what the server gets (-want +got):\n%s", diff)
			}
			if r.state != tt.state {
				t.Errorf("state %d, want %d", r.state, tt.state)
			}
		})
	}
}

// sides are what the client sends and the server gets.
func sides(stream string) (in, out string) {
	fromClient, toServer := true, true
	for _, c := range strings.ReplaceAll(stream, "$", "{"+added+"}") {
		switch c {
		case '{':
			fromClient = false
		case '<':
			toServer = false
		case '}', '>':
			fromClient, toServer = true, true
		default:
			if fromClient {
				in += string(c)
			}
			if toServer {
				out += string(c)
			}
		}
	}
	return in, out
}

// What cannot be framed is raw in mode Keep. In the others the server gets no further than the line at fault.
func TestMalformed(t *testing.T) {
	t.Parallel()
	const get, post, chunked = "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n$\r\n"
	tests := []struct{ name, head, fault string }{
		{"both framings", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "\r\n"},
		{"both framings, the other way", post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "\r\n"},
		{"chunked before HTTP/1.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "\r\n"},
		{"two lengths", post + "Content-Length: 3\r\nContent-Length:", " 4\r\n\r\nabcd"},
		{"length list", post + "Content-Length:", " 3, 3\r\n\r\nabc"},
		{"signed length", post + "Content-Length:", " +3\r\n\r\nabc"},
		{"no length", post + "Content-Length:", " \r\n\r\nabc"},
		{"broken length", post + "Content-Length:", " 1 1\r\n\r\nabc"},
		{"huge length", post + "Content-Length:", " 92233720368547758070\r\n\r\nabc"},
		{"unknown coding", post + "Transfer-Encoding:", " gzip\r\n\r\nabc"},
		{"coding list", post + "Transfer-Encoding:", " gzip, chunked\r\n\r\nabc"},
		{"coding with more", post + "Transfer-Encoding:", " chunked x\r\n\r\nabc"},
		{"broken coding", post + "Transfer-Encoding:", " chun ked\r\n\r\nabc"},
		{"shortened coding", post + "Transfer-Encoding:", " chunke\r\n\r\nabc"},
		{"coding twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding:", " chunked\r\n\r\n0\r\n\r\n"},
		{"folded line", get + "A: b\r\n", " c\r\n\r\n"},
		{"folded request line", get, "\tX-Forwarded-For: a\r\n\r\n"},
		{"blank before colon", get + "Content-Length", " : 3\r\n\r\nabc"},
		{"no colon", get + "nonsense", "\r\n\r\n"},
		{"no name", get, ": a\r\n\r\n"},
		{"long name without colon", get + "a-name-of-eighteen", "\r\n\r\n"},
		{"CR in a value", get + "A:", " b\rX-Forwarded-For: c\r\n\r\n"},
		{"CR twice", get + "A:", " b\r\r\n\r\n"},
		{"NUL in a value", get + "A:", " b\x00\r\n\r\n"},
		{"empty chunk size", chunked, "\r\n"},
		{"bad chunk size", chunked, "x\r\n"},
		{"signed chunk size", chunked, "-1\r\n"},
		{"huge chunk size", chunked + "FFFFFFFFFFFFFFF", "F\r\n"},
		{"chunk size before LF", chunked + "1", "\nx"},
		{"chunk longer than its size", chunked + "1\r\nx", "y\r\n0\r\n\r\n"},
		{"chunk before LF", chunked + "1\r\nx", "\n0\r\n\r\n"},
		{"CR in an extension", chunked + "1", ";\rx\r\nx\r\n"},
		{"CR in a trailer", chunked + "0\r\n", "A: \rb\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const more = "GET /more HTTP/1.1\r\nX-Forwarded-For: a\r\n\r\n"
			headIn, headOut := sides(tt.head)
			in := headIn + tt.fault + more
			got, r := run(t, Config{}, client4, 4096, []byte(in))
			if diff := cmp.Diff(headOut+tt.fault+more, got); diff != "" || !r.Raw() {
				t.Errorf("keep: raw %v (-want +got):\n%s", r.Raw(), diff)
			}
			var pieces [][]byte
			for i := range len(in) {
				pieces = append(pieces, []byte{in[i]})
			}
			if parts, _ := run(t, Config{}, client4, Extra+1, pieces...); parts != got {
				t.Errorf("keep, in bytes: %q, want %q", parts, got)
			}
			for _, m := range []Mode{Append, Strict} {
				parts, r := run(t, Config{Mode: m}, client4, Extra+1, pieces...)
				if !r.Refused() || !strings.HasPrefix(headOut+tt.fault, parts) || parts == headOut+tt.fault {
					t.Errorf("mode %d, in bytes: refused %v, %q", m, r.Refused(), parts)
				}
				got, r := run(t, Config{Mode: m}, client4, 4096, []byte(in), []byte(more))
				if diff := cmp.Diff(headOut, got); diff != "" || !r.Refused() {
					t.Errorf("mode %d: refused %v (-want +got):\n%s", m, r.Refused(), diff)
				}
			}
		})
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"":                 "GET / HTTP/1.0\r\n" + proto + "\r\n",
		"::1":              "GET / HTTP/1.0\r\n" + proto + "X-Forwarded-For: ::1\r\n\r\n",
		"::ffff:192.0.2.7": "GET / HTTP/1.0\r\n" + added + "\r\n",
		"fe80::1%eth0":     "GET / HTTP/1.0\r\n" + proto + "X-Forwarded-For: fe80::1\r\n\r\n",
	} {
		a, _ := netip.ParseAddr(addr)
		for _, m := range []Mode{Keep, Append, Strict} {
			if got, _ := run(t, Config{Mode: m}, a, 4096, []byte("GET / HTTP/1.0\r\n\r\n")); got != want {
				t.Errorf("client %q, mode %d: %q, want %q", addr, m, got, want)
			}
		}
	}
	const in = "GET / HTTP/1.0\r\nX-Forwarded-For: a\r\n\r\n"
	want := strings.TrimSuffix(in, "\r\n") + proto + "\r\n"
	if got, _ := run(t, Config{Mode: Append}, netip.Addr{}, 4096, []byte(in)); got != want {
		t.Errorf("append for a Unix client: %q, want %q", got, want)
	}
}

// A body needs no look, in as many pieces as it comes, and may go past the Rewriter.
func TestUntouched(t *testing.T) {
	t.Parallel()
	var r Rewriter
	dst := make([]byte, 4096)
	rewrite(t, &r, Config{}, client4, dst, []byte("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n0123456789"))
	if n := r.Untouched(); n != 90 {
		t.Fatalf("%d bytes untouched, want 90", n)
	}
	if res := r.Rewrite(Config{}, client4, nil, make([]byte, 40)); res != (Result{Used: 40, Same: true}) {
		t.Errorf("body: %+v", res)
	}
	r.Skip(50)
	got := rewrite(t, &r, Config{}, client4, dst, []byte("GET / HTTP/1.1\r\n\r\n"))
	if want := "GET / HTTP/1.1\r\n" + added + "\r\n"; string(got) != want {
		t.Errorf("after the body: %q, want %q", got, want)
	}
	rewrite(t, &r, Config{}, client4, dst, []byte("\x16"))
	if n := r.Untouched(); n != math.MaxUint64 {
		t.Errorf("%d bytes of a raw stream untouched", n)
	}
	r.Skip(1 << 40)
	if !r.Raw() {
		t.Error("no longer raw")
	}
}

// A body that does not fit behind its header is not copied.
func TestLargeBody(t *testing.T) {
	t.Parallel()
	const size = 1 << 12
	head := "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"
	src := []byte(head + strings.Repeat("x", size-len(head)))
	var r Rewriter
	dst := make([]byte, size)
	if res := r.Rewrite(Config{}, client4, dst, src); res.Used != len(head) || res.Made != len(head+added) {
		t.Errorf("header: %+v, want %d used and %d made", res, len(head), len(head+added))
	}
	if res := r.Rewrite(Config{}, client4, dst, src[len(head):]); !res.Same {
		t.Errorf("body: %+v, want it the same", res)
	}
	head = "POST / HTTP/1.1\r\nX-Forwarded-For: a\r\nX-Forwarded-Proto: b\r\nContent-Length: 100000\r\n\r\n"
	r = Rewriter{}
	if res := r.Rewrite(Config{}, client4, dst, append([]byte(head), src[len(head):]...)); !res.Same {
		t.Errorf("complete header and body: %+v, want it the same", res)
	}
}
