package match

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const penLog = `192.0.2.1 1010532530 10.0.0.1 GET /a HTTP/1.0
192.0.2.2 1010532531 10.0.0.2 GET /a HTTP/1.0
192.0.2.3 1010532533 10.0.0.1 GET /b HTTP/1.0
192.0.2.4 1010532540 10.0.0.1 GET /b HTTP/1.0
192.0.2.5 1010532540 10.0.0.1 GET /b HTTP/1.0
 1010532541 10.0.0.1 from a Unix client
garbage
192.0.2.6 1010532542 2001:db8::1 GET /six
192.0.2.7 1010532543 10.0.0.1 GET /".
192.0.2.8 1010532600 10.0.0.1 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789
192.0.2.9 1010540000 10.0.0.1 GET /late
`

func merge(t *testing.T, o Options, logs ...string) (string, Stats) {
	t.Helper()
	var web []WebLog
	for _, l := range logs {
		server, text, _ := strings.Cut(l, "\n")
		web = append(web, WebLog{Server: server, Name: server, R: strings.NewReader(text)})
	}
	var out bytes.Buffer
	st, err := Merge(&out, strings.NewReader(penLog), web, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), st
}

func TestMerge(t *testing.T) {
	t.Parallel()
	x100 := strings.Repeat("0123456789", 10)
	tests := []struct {
		name string
		o    Options
		logs []string
		want string
		st   Stats
	}{
		{"clients are put in, in order of time", Options{Jitter: 600}, []string{`10.0.0.1
10.0.0.9 - - [08/Jan/2002:23:28:50 +0000] "GET /a HTTP/1.0" 200 100 "ref" "agent"
10.0.0.9 - joe [09/Jan/2002:00:28:53 +0100] "GET /b HTTP/1.0" 404 7
`, `10.0.0.2
10.0.0.9 - - [08/Jan/2002:23:28:51 +0000] "GET /a HTTP/1.0" 200 100`},
			`192.0.2.1 - - [08/Jan/2002:23:28:50 +0000] "GET /a HTTP/1.0" 200 100 "ref" "agent"
192.0.2.2 - - [08/Jan/2002:23:28:51 +0000] "GET /a HTTP/1.0" 200 100
192.0.2.3 - joe [08/Jan/2002:23:28:53 +0000] "GET /b HTTP/1.0" 404 7
`, Stats{3, 3, 0}},
		{"nearest, then first", Options{Jitter: 600}, []string{`10.0.0.1
x - - [08/Jan/2002:23:28:56 +0000] "GET /b HTTP/1.0" 1
x - - [08/Jan/2002:23:28:57 +0000] "GET /b HTTP/1.0" 2`},
			`192.0.2.3 - - [08/Jan/2002:23:28:56 +0000] "GET /b HTTP/1.0" 1
192.0.2.4 - - [08/Jan/2002:23:28:57 +0000] "GET /b HTTP/1.0" 2
`, Stats{2, 2, 0}},
		{"jitter is the limit", Options{Jitter: 2}, []string{`10.0.0.1
x - - [08/Jan/2002:23:28:48 +0000] "GET /a HTTP/1.0" 1
x - - [08/Jan/2002:23:28:53 +0000] "GET /a HTTP/1.0" 2`},
			`192.0.2.1 - - [08/Jan/2002:23:28:48 +0000] "GET /a HTTP/1.0" 1
10.0.0.1 - - [08/Jan/2002:23:28:53 +0000] "GET /a HTTP/1.0" 2
`, Stats{2, 1, 0}},
		{"no limit", Options{All: true}, []string{`10.0.0.1
x - - [08/Jan/2002:12:00:00 +0000] "GET /late" 1
x - - [08/Feb/2002:12:00:00 +0000] "GET /a HTTP/1.0" 2`},
			`192.0.2.9 - - [08/Jan/2002:12:00:00 +0000] "GET /late" 1
192.0.2.1 - - [08/Feb/2002:12:00:00 +0000] "GET /a HTTP/1.0" 2
`, Stats{2, 2, 0}},
		{"no match", Options{Jitter: 600}, []string{`10.0.0.1
x - - [08/Jan/2002:23:28:50 +0000] "GET /six" 1`, `www
x - - [08/Jan/2002:23:28:50 +0000] "GET /a HTTP/1.0" 2`},
			`10.0.0.1 - - [08/Jan/2002:23:28:50 +0000] "GET /six" 1
www - - [08/Jan/2002:23:28:50 +0000] "GET /a HTTP/1.0" 2
`, Stats{2, 0, 0}},
		{"IPv6", Options{Jitter: 600}, []string{`2001:0DB8::1
x - - [08/Jan/2002:23:28:50 +0000] "GET /six" 1`},
			`192.0.2.6 - - [08/Jan/2002:23:28:50 +0000] "GET /six" 1
`, Stats{1, 1, 0}},
		{"long and escaped requests", Options{Jitter: 600}, []string{`10.0.0.1
x - - [08/Jan/2002:23:28:50 +0000] "GET /\"\xe9" 1
x - - [08/Jan/2002:23:28:51 +0000] "` + x100 + `and more" 2`},
			`192.0.2.7 - - [08/Jan/2002:23:28:50 +0000] "GET /\"\xe9" 1
192.0.2.8 - - [08/Jan/2002:23:28:51 +0000] "` + x100 + `and more" 2
`, Stats{2, 2, 0}},
		{"clock without zone", Options{Jitter: 600, Offset: 7200}, []string{`10.0.0.1
x - - [09/Jan/2002:01:28:50] "GET /a HTTP/1.0" 1`},
			`192.0.2.1 - - [08/Jan/2002:23:28:50 +0000] "GET /a HTTP/1.0" 1
`, Stats{1, 1, 0}},
		{"garbage is counted", Options{}, []string{"10.0.0.1\n\ngarbage\nx [08/Jan/2002:23:28:50 +0000] no request\n"},
			"", Stats{0, 0, 2}},
		{"nothing", Options{}, nil, "", Stats{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, st := merge(t, tt.o, tt.logs...)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.st, st); d != "" {
				t.Errorf("stats (-want +got):\n%s", d)
			}
		})
	}
}

var errDisk = errors.New("disk")

func TestMergeErrors(t *testing.T) {
	t.Parallel()
	const line = "x - - [08/Jan/2002:23:28:50 +0000] \"GET /\" 1\n"
	bad := iotest.ErrReader(errDisk)
	tests := []struct {
		name     string
		w        io.Writer
		pen, web io.Reader
	}{
		{"pen's log", io.Discard, bad, strings.NewReader(line)},
		{"web log", io.Discard, strings.NewReader(penLog), bad},
		{"later in a web log", io.Discard, strings.NewReader(penLog), io.MultiReader(strings.NewReader(line), bad)},
		{"output", failing{}, strings.NewReader(penLog), strings.NewReader(line)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Merge(tt.w, tt.pen, []WebLog{{Server: "s", Name: "s.log", R: tt.web}}, Options{Jitter: 600})
			if !errors.Is(err, errDisk) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errDisk }

// TestWindowMoves checks that entries before the first line, and those that are long past, take no memory.
func TestWindowMoves(t *testing.T) {
	t.Parallel()
	m := merger{options: Options{Jitter: 10}, index: NewIndex(), servers: map[string]string{"s": "s"},
		penTime: math.MinInt64}
	var pen strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&pen, "192.0.2.1 %d s r\n", i)
	}
	m.pen = newLines(strings.NewReader(pen.String()))
	most := 0
	for _, at := range []int64{500, 505, 900, 901} {
		if err := m.readPen(at); err != nil {
			t.Fatal(err)
		}
		most = max(most, m.index.Len())
	}
	if most > 50 {
		t.Errorf("%d entries in memory", most)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(penLog), []byte("x - - [08/Jan/2002:23:28:50 +0000] \"GET /a HTTP/1.0\" 1\n"), int64(600))
	f.Add([]byte("a 9223372036854775807 s \n"), []byte("[00/Jan/0000:00:00:00 -9999] \"\\"), int64(1)<<62)
	f.Fuzz(func(t *testing.T, pen, web []byte, jitter int64) {
		for _, all := range []bool{false, true} {
			var out bytes.Buffer
			st, err := Merge(&out, bytes.NewReader(pen), []WebLog{{Server: "10.0.0.1", R: bytes.NewReader(web)},
				{Server: "10.0.0.2", R: bytes.NewReader(web)}}, Options{Jitter: jitter, All: all})
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(out.Bytes(), []byte("\n")); n != st.Lines || st.Matched > st.Lines {
				t.Fatalf("%d lines, %+v: %q", n, st, out.Bytes())
			}
		}
	})
}
