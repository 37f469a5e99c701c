package control

import (
	"math"
	"strings"
	"testing"
)

func TestAtoi(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		"": 0, "abc": 0, "12abc": 12, "-5": -5, "+5": 5, "--5": 0, "-": 0, " 7": 7, "1 2": 1, "0x10": 0, "007": 7,
		"2147483648": math.MaxInt32, "-99999999999999999999": math.MinInt32, "３": 0,
	} {
		if got := Atoi(in); got != want {
			t.Errorf("Atoi(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	for in, want := range map[string]string{
		"a\nb": "a", "a\rb\nc": "a", "\na": "", "a\x00b": "a", "a": "a", long + "y": long, long: long,
	} {
		if got := firstLine(in); got != want {
			t.Errorf("firstLine(%.20q) = %.20q, want %.20q", in, got, want)
		}
	}
}

// FuzzWords checks the lexer against its definition.
func FuzzWords(f *testing.F) {
	f.Add("a  b\tc")
	f.Add("# x")
	f.Add("a\r\nb")
	f.Fuzz(func(t *testing.T, s string) {
		line := firstLine(s)
		if len(line) > MaxLine || strings.ContainsAny(line, "\r\n\x00") || !strings.HasPrefix(s, line) {
			t.Fatalf("firstLine(%q) = %q", s, line)
		}
		for _, w := range words(line) {
			if w == "" || strings.ContainsAny(w, " \t") || !strings.Contains(line, w) {
				t.Errorf("words(%q) has %q", line, w)
			}
		}
		if n := Atoi(s); n > math.MaxInt32 || n < math.MinInt32 {
			t.Errorf("Atoi(%q) = %d", s, n)
		}
	})
}

func TestPosition(t *testing.T) {
	t.Parallel()
	if got := (Position{Source: "pen.cfg", Line: 3}).String(); got != "pen.cfg:3" {
		t.Error(got)
	}
	if got := (Position{Source: "-O"}).String(); got != "-O" {
		t.Error(got)
	}
}
