package getopt

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const penOptions = "B:C:F:O:S:T:b:c:e:i:j:l:m:o:p:q:t:u:w:x:DHNPQWXUadfhnrsE:K:G:A:ZRL:"

// parse writes options as "-f", "-C=arg" or the text of the error.
func parse(known string, args ...string) (options, operands []string) {
	p := New(args, known)
	for o, err := range p.Options() {
		switch {
		case err != nil:
			options = append(options, err.Error())
		case strings.Contains(known, string(rune(o.Flag))+":"):
			options = append(options, "-"+string(rune(o.Flag))+"="+o.Arg)
		default:
			options = append(options, "-"+string(rune(o.Flag)))
		}
	}
	return options, p.Operands()
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, args        string
		options, operands []string
	}{
		{"nothing", "", nil, nil},
		{"bundled", "-frU -dd", []string{"-f", "-r", "-U", "-d", "-d"}, nil},
		{"attached argument", "-x500 -b9", []string{"-x=500", "-b=9"}, nil},
		{"argument ends a bundle", "-Wrb 9", []string{"-W", "-r", "-b=9"}, nil},
		{"attached at the end of a bundle", "-Wrb9 s", []string{"-W", "-r", "-b=9"}, []string{"s"}},
		{"options after operands", "8080 s1 s2 -C localhost:9000 s3 -r",
			[]string{"-C=localhost:9000", "-r"}, []string{"8080", "s1", "s2", "s3"}},
		{"order is kept", "-O a -b 1 -O b", []string{"-O=a", "-b=1", "-O=b"}, nil},
		{"end of options", "-r -- -f s", []string{"-r"}, []string{"-f", "s"}},
		{"end of options as argument", "-C -- -f", []string{"-C=--", "-f"}, nil},
		{"option as argument", "-C -f", []string{"-C=-f"}, nil},
		{"single dash is an operand", "-f - s", []string{"-f"}, []string{"-", "s"}},
		{"empty operand", "-f  s", []string{"-f"}, []string{"", "s"}},
		{"unknown", "-f -V -r", []string{"-f", "invalid option -- 'V'", "-r"}, nil},
		{"unknown inside a bundle", "-fVr", []string{"-f", "invalid option -- 'V'", "-r"}, nil},
		{"colon is no option", "-:", []string{"invalid option -- ':'"}, nil},
		{"long options are unknown letters", "--f",
			[]string{"invalid option -- '-'", "-f"}, nil},
		{"missing argument", "-r -C", []string{"-r", "option requires an argument -- 'C'"}, nil},
		{"byte that is no UTF-8", "-\xff", []string{"invalid option -- '\xff'"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			if tt.args != "" {
				args = strings.Split(tt.args, " ")
			}
			options, operands := parse(penOptions, args...)
			if d := cmp.Diff(tt.options, options); d != "" {
				t.Errorf("options (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.operands, operands); d != "" {
				t.Errorf("operands (-want +got):\n%s", d)
			}
		})
	}
}

func TestStopsWhereTheCallerStops(t *testing.T) {
	t.Parallel()
	p := New([]string{"-fr", "s"}, penOptions)
	for o := range p.Options() {
		if o.Flag != 'f' {
			t.Fatalf("first option is %c", o.Flag)
		}
		break
	}
	var rest []byte
	for o := range p.Options() {
		rest = append(rest, o.Flag)
	}
	if string(rest) != "r" || !slices.Equal(p.Operands(), []string{"s"}) {
		t.Errorf("rest %q, operands %q", rest, p.Operands())
	}
}

// FuzzOptions checks that no byte is lost or invented: what comes out, written in the plainest form, parses to the
// same options and operands.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{"", "-frU\x00s1", "-x500\x00-\x00--\x00-f", "-C", "-dd\x00--\x00--", "s\x00-V"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		p := New(args, penOptions)
		var plain []string
		wrong := false
		for o, err := range p.Options() {
			if err != nil {
				wrong = true
				continue
			}
			plain = append(plain, "-"+string([]byte{o.Flag}))
			if strings.Contains(penOptions, string([]byte{o.Flag, ':'})) {
				plain = append(plain, o.Arg)
			}
		}
		if len(p.Operands()) > len(args) {
			t.Fatalf("%d words gave %d operands", len(args), len(p.Operands()))
		}
		if wrong {
			return
		}
		again := New(append(append(slices.Clone(plain), "--"), p.Operands()...), penOptions)
		var got []string
		for o, err := range again.Options() {
			if err != nil {
				t.Fatalf("%q: %v", plain, err)
			}
			got = append(got, "-"+string([]byte{o.Flag}))
			if strings.Contains(penOptions, string([]byte{o.Flag, ':'})) {
				got = append(got, o.Arg)
			}
		}
		if !slices.Equal(got, plain) || !slices.Equal(again.Operands(), p.Operands()) {
			t.Errorf("%q\nfirst %q %q\nagain %q %q", args, plain, p.Operands(), got, again.Operands())
		}
	})
}
