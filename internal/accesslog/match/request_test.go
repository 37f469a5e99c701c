package match

import (
	"strings"
	"testing"
)

func TestQuoted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line, want string
		ok         bool
	}{
		{`a - - [t] "GET / HTTP/1.0" 200`, `GET / HTTP/1.0`, true},
		{`a "GET /?q=\"x\" HTTP/1.0" "ref"`, `GET /?q=\"x\" HTTP/1.0`, true},
		{`a "GET /\\" 200`, `GET /\\`, true},
		{`a "" 200`, ``, true},
		{`a "GET /`, ``, false},
		{`a "GET /\"`, ``, false},
		{`a`, ``, false},
		{``, ``, false},
	}
	for _, tt := range tests {
		if got, ok := quoted([]byte(tt.line)); string(got) != tt.want || ok != tt.ok {
			t.Errorf("quoted(%q) = %q, %v", tt.line, got, ok)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{`plain`, `plain`},
		{`\"\\`, `"\`},
		{`\x22\xff\x0Az`, "\"\xff\nz"},
		{`\n\t\r\a\b\f\v`, "\n\t\r\a\b\f\v"},
		{`\q\xg0\x1`, `\q\xg0\x1`},
		{`end\`, `end\`},
	}
	for _, tt := range tests {
		if got := unescape(nil, []byte(tt.in)); string(got) != tt.want {
			t.Errorf("unescape(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"08/Jan/2002:23:28:50 +0000", 1010532530, true},
		{"09/Jan/2002:00:28:50 +0100", 1010532530, true},
		{"08/Jan/2002:18:58:50 -0430", 1010532530, true},
		{"31/Dec/1969:23:59:59 +0000", -1, true},
		{"29/Feb/2024:12:00:00 +0000", 1709208000, true},
		{"08/Jan/2002:23:28:50", 1010532530 - 7200, true},
		{"08/jan/2002:23:28:50 +0000", 0, false},
		{"08/anF/2002:23:28:50 +0000", 0, false},
		{"00/Jan/2002:23:28:50 +0000", 0, false},
		{"08/Jan/2002:24:28:50 +0000", 0, false},
		{"08/Jan/2002:23:28:50 0100", 0, false},
		{"08/Jan/2002:23:28:50 +01:0", 0, false},
		{"08/Jan/2002:23:28:5", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseTime([]byte(tt.in), 7200); got != tt.want || ok != tt.ok {
			t.Errorf("parseTime(%q) = %d, %v", tt.in, got, ok)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200<<10)
	l := newLines(strings.NewReader("a\n\r\n" + long + "\n" + strings.Repeat("y", maxLine+1) + "\nb\r\nend"))
	for _, want := range []string{"a", "", long, "", "b", "end"} {
		got, err := l.next()
		if err != nil || string(got) != want {
			t.Fatalf("line of %d bytes, %v, want %d bytes", len(got), err, len(want))
		}
	}
	if _, err := l.next(); err == nil {
		t.Error("no end")
	}
}
