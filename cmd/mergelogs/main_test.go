package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("pen", "192.0.2.1 1010532530 10.0.0.1 GET /a\n192.0.2.2 1010532531 ::1 GET /a\n")
	write("one", "x - - [08/Jan/2002:23:28:50 +0000] \"GET /a\" 1\ngarbage\n")
	write("two", "x - - [08/Jan/2002:23:28:49 +0000] \"GET /a\" 2\n")
	write("local", "x - - [09/Jan/2002:01:28:50] \"GET /a\" 3\n")
	const one = "192.0.2.1 - - [08/Jan/2002:23:28:50 +0000] \"GET /a\" 1\n"
	tests := []struct {
		name, args     string // @ stands for the directory
		status         int
		stdout, stderr string
	}{
		{"merge", "-p @pen 10.0.0.1:@one [::1]:@two", 0,
			"192.0.2.2 - - [08/Jan/2002:23:28:49 +0000] \"GET /a\" 2\n" + one, "1 lines without time or request"},
		{"options after", "10.0.0.1:@one -d -p @pen", 0, one, "1 lines, 1 of them"},
		{"no jitter", "-j0 -p @pen [::1]:@two", 0, "::1 - - [08/Jan/2002:23:28:49 +0000] \"GET /a\" 2\n", ""},
		{"all", "-c -j0 -p @pen [::1]:@two", 0, "192.0.2.2 - - [08/Jan/2002:23:28:49 +0000] \"GET /a\" 2\n", ""},
		{"local time", "-t 7200 -p @pen 10.0.0.1:@local", 0, strings.Replace(one, "1\n", "3\n", 1), ""},
		{"nothing", "", 0, usage, ""},
		{"no web log", "-p @pen", 0, usage, ""},
		{"unknown option", "-r x -p @pen a:b", 0, usage, "mergelogs: invalid option -- 'r'"},
		{"no pen log", "a:b", 1, "", "use -p"},
		{"missing pen log", "-p @no a:b", 1, "", "no such file"},
		{"missing web log", "-p @pen a:@no", 1, "", "no such file"},
		{"no colon", "-p @pen nocolon", 1, "", "nocolon: not of the form server:logfile"},
		{"jitter", "-j x -p @pen a:b", 1, "", "-j x: not a number of seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			args := strings.Fields(strings.ReplaceAll(tt.args, "@", dir+string(filepath.Separator)))
			if status := run(env{args, &stdout, &stderr}); status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if d := cmp.Diff(tt.stdout, stdout.String()); d != "" {
				t.Errorf("stdout (-want +got):\n%s", d)
			}
			if !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q, want %q", stderr.String(), tt.stderr)
			}
		})
	}
}
