package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	top := files(t, map[string]string{"outside": ""})
	dir := filepath.Join(top, "dir")
	for _, d := range []string{dir, dir + "/sub", top + "/dirty"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"in": "file", "out": "../outside", "abs": top + "/outside", "up": "..",
		"dangling": "sub/none", "outdangling": "../none"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dir", top+"/alias"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"dir/file": true, "dir/new": true, "dir/sub/new": true, "dir/in": true, "dir/./sub/../file": true, "dir/sub": true,
		"dir": false, "outside": false, "dir/../outside": false, "dir/out": false, "dir/abs": false, "dir/up/outside": false,
		"dir/dangling": false, "dir/outdangling": false, "dir/none/new": false, "dirty/new": false, "dir/file/x": false,
		"dir/up/dir/file": false, "dir/sub/../../outside": false, "alias/file": false,
	} {
		if err := within(dir, filepath.Join(top, "x", "..")+"/"+path); (err == nil) != want {
			t.Errorf("%s: %v, want permitted: %v", path, err, want)
		}
	}
	if err := within(top+"/alias", top+"/alias/file"); err != nil {
		t.Errorf("a directory named by a link: %v", err)
	}
	if err := within(top+"/none", top+"/none/file"); err == nil {
		t.Error("the directory does not exist")
	}
}

// remote runs commands as a TCP client and returns the reply to the last.
func remote(e *Env, lines ...string) string {
	var reply []byte
	for _, line := range lines {
		reply, _ = e.execute(line, Position{Source: "tcp"}, Remote)
	}
	return string(reply)
}

// TestRemoteFiles tries each command that touches files, and those that only look like it.
func TestRemoteFiles(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "", "good": "blacklist 7\n", "evil": "log /etc/passwd\nblacklist 8\n"})
	tests := []struct {
		line, want string // %: a path
		touches    bool
	}{
		{"log %", "/old\n", true},
		{"web_stats %", "/page\n", true},
		{"listen %", "127.0.0.1:8080\n", true},
		{"include %", "", true},
		{"write %", "", true},
		{"write", "", true}, // goes to the file of -F
		{"ssl_ocsp_response %", "", true},
		{"log 127.0.0.1:514", "127.0.0.1:514\n", false},
		{"listen 127.0.0.1:9", "127.0.0.1:9\n", false},
		{"server 0 address /run/app", "", false},
		{"server 0 tls %", "", true},
		{"server 0 tls off tls %", "", true},
		{"server 0 tls system sni a", "", false},
		{"server 0 tls % tls off", "", false},
		{"log", "/old\n", false},
		{"web_stats", "/page\n", false},
		{"status", "<html>\n", false},
		{"no log", "", false},
		{"ssl_ciphers /x", "", false},
	}
	covered := map[string]bool{}
	for _, tt := range tests {
		for _, inside := range []bool{false, true} {
			e, r, log := newEnv(t)
			r.page, r.commandLine.ConfigFile = "<html>\n", "/etc/pen.cfg"
			do(e, "log /old", "web_stats /page", "control_dir "+dir)
			path, want := "/etc/hosts", tt.want
			if inside {
				path = dir + "/cfg"
				if len(tt.want) > 0 && strings.Contains(tt.line, "%") {
					want = path + "\n"
				}
			}
			line := strings.ReplaceAll(tt.line, "%", path)
			if got := remote(e, line); got != want {
				t.Errorf("%s: reply %q, want %q", line, got, want)
			}
			refused := tt.touches && (!inside || tt.line == "write")
			if got := strings.Contains(log.String(), "TCP clients may only have files in "+dir); got != refused {
				t.Errorf("%s: refused %v: log %q", line, got, log)
			}
			if refused && !strings.Contains(remote(e, "json "+line), `{"error":"`) {
				t.Errorf("%s: no error for machines", line)
			}
		}
		if tt.touches {
			covered[words(tt.line)[0]] = true
		}
	}
	for _, c := range commands() {
		if c.touches == nil || covered[c.name] {
			continue
		}
		e, _, log := newEnv(t) // the others name a file and are silent
		if got := remote(e, c.name+" /etc/hosts"); got != "" || !strings.Contains(log.String(), "no files for TCP clients") {
			t.Errorf("%s: reply %q, log %q", c.name, got, log)
		}
	}

	e, r, _ := newEnv(t)
	if do(e, "control_dir "+dir); remote(e, "include "+dir+"/evil") != "" || len(r.opened) > 0 || remote(e, "blacklist") != "30\n" {
		t.Error("a file does more than who includes it may")
	}
	if remote(e, "include "+dir+"/good"); remote(e, "blacklist") != "7\n" {
		t.Error("a file that may be included is not")
	}
	e, _, log := newEnv(t)
	if remote(e, "log /l"); !strings.Contains(log.String(), "no files for TCP clients; start with -O 'control_dir DIRECTORY'") {
		t.Errorf("without control_dir: %q", log)
	}
}

// TestOperatorOnly has words that only the command line may say.
func TestOperatorOnly(t *testing.T) {
	t.Parallel()
	e, _, log := newEnv(t)
	for _, trust := range []Trust{Remote, Local} {
		for _, line := range []string{"control_dir /", "control_mode 0666 wheel", "check", "tproxy_rules"} {
			if reply, _ := e.execute(line, Position{Source: "ctl"}, trust); len(reply) > 0 {
				t.Errorf("%s: reply %q", line, reply)
			}
		}
	}
	if e.ControlDir != "" || e.ControlMode != 0 || e.ControlGroup != "" || e.CheckOnly || e.RulesOnly {
		t.Errorf("in effect: %q %o %q %v", e.ControlDir, e.ControlMode, e.ControlGroup, e.CheckOnly)
	}
	if n := strings.Count(log.String(), "only the command line may say so"); n != 8 {
		t.Errorf("%d refusals in the log: %s", n, log)
	}
	do(e, "control_dir /d", "control_mode 0660 wheel", "check", "tproxy_rules")
	if e.ControlDir != "/d" || e.ControlMode != 0o660 || e.ControlGroup != "wheel" || !e.CheckOnly || !e.RulesOnly {
		t.Errorf("from the command line: %q %o %q %v", e.ControlDir, e.ControlMode, e.ControlGroup, e.CheckOnly)
	}
	for _, line := range []string{"control_mode", "control_mode rw", "control_mode 0", "control_mode 1777", "control_mode 8"} {
		if do(e, line); e.ControlMode != 0o660 {
			t.Errorf("%s: mode %o", line, e.ControlMode)
		}
		if wrong := e.Check(line, Position{Source: "-O"}); len(wrong) != 1 {
			t.Errorf("%s: %v", line, wrong)
		}
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "blacklist 7\n"})
	e, _, _ := newEnv(t)
	if ask(t, start(t, e, "tcp", nil), "include "+dir+"/cfg"); do(e, "blacklist") != "30\n" {
		t.Error("a TCP client had a file read")
	}
	if ask(t, start(t, e, "unix", nil), "include "+dir+"/cfg"); do(e, "blacklist") != "7\n" {
		t.Error("a Unix client could not have a file read")
	}
}
