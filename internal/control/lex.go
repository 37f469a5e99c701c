package control

import (
	"math"
	"strings"
)

// MaxLine is how many bytes of a command are read; the rest of the line is dropped.
const MaxLine = 4095

// firstLine is s up to its first CR or LF, cut at MaxLine. Like a C string it also ends at a NUL.
func firstLine(s string) string {
	if len(s) > MaxLine {
		s = s[:MaxLine]
	}
	if i := strings.IndexAny(s, "\r\n\x00"); i >= 0 {
		s = s[:i]
	}
	return s
}

// words splits a line at blanks; a comment has none.
func words(line string) []string {
	w := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(w) > 0 && w[0][0] == '#' {
		return nil
	}
	return w
}

// Atoi reads a number as Atoi(3) does: blanks, a sign, digits, and then whatever. What exceeds 32 bits stays at
// their limit, so that a number of seconds always fits a time.Duration.
func Atoi(s string) int {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	n := int64(0)
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = min(n*10+int64(s[i]-'0'), -math.MinInt32)
	}
	if negative {
		return int(-n)
	}
	return int(min(n, math.MaxInt32))
}
