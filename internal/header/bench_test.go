package header

import (
	"fmt"
	"strings"
	"testing"
)

// browser is a request of about 500 bytes.
var browser = "GET /static/css/site.css?v=20240101 HTTP/1.1\r\nHost: www.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Referer: http://www.example.com/articles/2024/01/some-longer-title.html\r\nConnection: keep-alive\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\nPriority: u=2\r\nCache-Control: no-cache\r\n\r\n"

func BenchmarkRewrite(b *testing.B) {
	const body = 16 << 10
	for _, bb := range []struct{ name, stream string }{
		{"header", browser},
		{"pipelined", strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 16)},
		{"post", fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", body, strings.Repeat("x", body))},
	} {
		for mode, name := range []string{"keep", "append", "strict"} {
			b.Run(bb.name+"/"+name, func(b *testing.B) {
				src, dst := []byte(bb.stream), make([]byte, 32<<10)
				b.ReportAllocs()
				b.SetBytes(int64(len(src)))
				var r Rewriter
				for b.Loop() {
					r.Rewrite(Config{Mode: Mode(mode)}, client4, dst, src)
				}
				if r.state != inStart || r.left != 0 || r.nheld != 0 {
					b.Fatalf("not between requests: %+v", r)
				}
			})
		}
	}
	b.Run("body", func(b *testing.B) {
		r := Rewriter{state: inBody, left: 1 << 62}
		src := make([]byte, 4*body)
		b.SetBytes(4 * body)
		for b.Loop() {
			r.Rewrite(Config{}, client4, nil, src)
		}
	})
}

func TestAllocs(t *testing.T) {
	src, dst := []byte(browser), make([]byte, 4096)
	var r Rewriter
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range []Mode{Keep, Append, Strict} {
			r.Rewrite(Config{Mode: m}, client4, dst, src[:100])
			r.Rewrite(Config{Mode: m}, client4, dst, src[100:])
		}
	}); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}
