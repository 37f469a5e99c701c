package header

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// message is what a server understands of a request.
type message struct {
	Method, Target string
	Header         http.Header
	Body           string
}

// parse reads all requests in stream with the HTTP server of the standard library.
func parse(stream string) ([]message, error) {
	var all []message
	for br := bufio.NewReader(strings.NewReader(stream)); ; {
		req, err := http.ReadRequest(br)
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return all, err
		}
		all = append(all, message{req.Method, req.RequestURI, req.Header, string(body)})
	}
}

// forward does to m what a Rewriter should.
func (m message) forward(cfg Config, client string) message {
	const forName, protoName = "X-Forwarded-For", "X-Forwarded-Proto"
	h := m.Header.Clone()
	scheme := map[bool]string{true: "https", false: "http"}[cfg.HTTPS]
	if cfg.Mode == Strict || h.Values(protoName) == nil {
		h.Set(protoName, scheme)
	}
	switch vs := h.Values(forName); {
	case cfg.Mode == Strict || vs == nil:
		h.Set(forName, client)
	case cfg.Mode == Append:
		for i, v := range vs {
			if vs[i] = v + ", " + client; v == "" {
				vs[i] = client
			}
		}
	}
	m.Header = h
	return m
}

var (
	names  = []string{"Via", "Accept", "X-Forwarded", "X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-PROTO", "X-Forwarded-Protocol", "Cookie", "A"}
	values = []string{"", "a", "10.0.0.1", "a, b", "long value: with / all (kinds) of; things=\"in\" it\xc3\xa4", " \tpadded"}
	bodies = []string{"", "a", "GET / HTTP/1.1\r\nX-Forwarded-For: b\r\n\r\n", "\r\n\r\n", "0\r\n\r\n", "\x00\xff", strings.Repeat("0123456789", 40)}
)

// request draws the text of a request.
func request(t *rapid.T) string {
	var b strings.Builder
	eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
	method := rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"}).Draw(t, "method")
	target := rapid.SampledFrom([]string{"/", "/a?b=c", "*", "http://h/x"}).Draw(t, "target")
	fmt.Fprintf(&b, "%s %s HTTP/1.1%s", method, target, eol)
	field := func() {
		name, value := rapid.SampledFrom(names).Draw(t, "name"), rapid.SampledFrom(values).Draw(t, "value")
		fmt.Fprintf(&b, "%s:%s%s%s", name, rapid.SampledFrom([]string{"", " "}).Draw(t, "space"), value, eol)
	}
	for range rapid.IntRange(0, 4).Draw(t, "fields before") {
		field()
	}
	body := rapid.SampledFrom(bodies).Draw(t, "body")
	switch rapid.IntRange(0, 2).Draw(t, "framing") {
	case 0:
		body = ""
	case 1:
		fmt.Fprintf(&b, "Content-Length: %d%s", len(body), eol)
	case 2:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked%s", eol)
		var c bytes.Buffer
		w := httputil.NewChunkedWriter(&c)
		for rest := body; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			_, _ = io.WriteString(w, rest[:n])
			rest = rest[n:]
		}
		_ = w.Close()
		body = c.String() + rapid.SampledFrom([]string{"\r\n", "A: b\r\n\r\n"}).Draw(t, "trailer")
	}
	for range rapid.IntRange(0, 3).Draw(t, "fields behind") {
		field()
	}
	return b.String() + eol + body
}

// Streams of requests mean to the server what the model says, however they are cut.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{Mode: rapid.SampledFrom([]Mode{Keep, Append, Strict}).Draw(rt, "mode"), HTTPS: rapid.Bool().Draw(rt, "https")}
		client := rapid.SampledFrom([]string{"192.0.2.7", "2001:db8::1"}).Draw(rt, "client")
		in := strings.Join(rapid.SliceOfN(rapid.Custom(request), 1, 5).Draw(rt, "requests"), "")
		var pieces [][]byte
		for rest := in; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "piece")
			pieces, rest = append(pieces, []byte(rest[:n])), rest[n:]
		}
		size := Extra + rapid.IntRange(1, 1000).Draw(rt, "room")
		got, _ := run(t, cfg, netip.MustParseAddr(client), size, pieces...)

		sent, err := parse(in)
		if err != nil {
			rt.Fatalf("the model sends nonsense: %v", err)
		}
		var want []message
		for _, m := range sent {
			want = append(want, m.forward(cfg, client))
		}
		received, err := parse(got)
		if err != nil {
			rt.Fatalf("the server cannot read %q: %v", got, err)
		}
		if diff := cmp.Diff(want, received); diff != "" {
			rt.Fatalf("of %q the server gets %q (-want +got):\n%s", in, got, diff)
		}
	})
}
