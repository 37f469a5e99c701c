package header

import (
	"strings"
	"testing"
)

// FuzzRewrite: whatever the bytes and their pieces, the server gets the same as in one piece; in mode Keep that is what
// the client sent but for the lines added, and no more than a started name is held back.
func FuzzRewrite(f *testing.F) {
	for _, tt := range streams {
		in, _ := sides(tt.stream)
		f.Add([]byte(in), uint16(len(in)/2), uint16(40), uint8(tt.cfg.Mode))
	}
	f.Fuzz(func(t *testing.T, in []byte, at, room uint16, mode uint8) {
		cfg := Config{Mode: Mode(mode % 3)}
		whole, r := run(t, cfg, client4, 1<<17, in)
		i := min(int(at), len(in))
		parts, rp := run(t, cfg, client4, Extra+1+int(room), in[:i], in[i:])
		switch {
		case r.Refused() && rp.Refused():
			if !strings.HasPrefix(whole, parts) && !strings.HasPrefix(parts, whole) {
				t.Fatalf("refused %q: whole %q, in parts %q", in, whole, parts)
			}
		case whole != parts || r.state != rp.state:
			t.Fatalf("%q: whole %q in state %d, in parts %q in state %d", in, whole, r.state, parts, rp.state)
		}
		if cfg.Mode != Keep {
			return
		}
		rest, ok := without(whole, string(in))
		if held := string(r.held[:r.nheld]); !ok || rest != held {
			t.Fatalf("%q became %q; %q is missing, %q is held", in, whole, rest, held)
		}
	})
}

// without checks that out is in but for added lines, and returns what of in has not come out.
func without(out, in string) (rest string, ok bool) {
	for out != "" {
		if in != "" && out[0] == in[0] && !(strings.HasPrefix(out, "X-Forwarded-") && (in[0] == '\r' || in[0] == '\n')) {
			out, in = out[1:], in[1:]
			continue
		}
		var cutIt bool
		for _, line := range []string{proto, client, strings.ReplaceAll(proto, "\r", ""), strings.ReplaceAll(client, "\r", "")} {
			if out, cutIt = strings.CutPrefix(out, line); cutIt {
				break
			}
		}
		if !cutIt {
			return in, false
		}
	}
	return in, true
}
