package control

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
)

// TestTable checks that the table is fit for `write` and `help`.
func TestTable(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	seen := map[string]bool{}
	standard := settings.Default()
	for _, c := range commands() {
		if seen[c.name] {
			t.Errorf("%s is there twice", c.name)
		}
		seen[c.name] = true
		if c.help == "" || c.run == nil || strings.HasSuffix(c.help, ".") {
			t.Errorf("%s: help %q", c.name, c.help)
		}
		if c.args != "" && c.check == nil && c.name != "help" && c.name != "web_stats" && c.name != "geoip_db" && c.name != "write" &&
			c.name != "dsr_ip" && c.name != "json" {
			t.Errorf("nobody checks what follows %s in a file", c.name)
		}
		if c.forgotten && c.save == nil {
			t.Errorf("%s is forgotten, but has nothing to save", c.name)
		}
		if c.save == nil {
			continue
		}
		for _, line := range c.save(e, &standard) {
			if w := words(line); w[0] != c.name && (w[0] != "no" || w[1] != c.name) {
				t.Errorf("%s saves %q", c.name, line)
			}
		}
	}
}

// touches reports whether the command in w reads or writes a file.
func touches(e *Env, w []string) bool {
	c := e.lookup(w[0])
	return c.touches != nil && (c.name != "server" || c.touches(e, w[1:]) != "")
}

// FuzzRun executes any text: nothing panics, replies are bounded, and the state stays within its limits.
func FuzzRun(f *testing.F) {
	for _, c := range commands() {
		f.Add(c.name)
		f.Add(c.name + " 1")
		f.Add("no " + c.name + " 10")
		f.Add(c.name + " -1 x y z\n" + c.name + " 99999999999")
	}
	f.Add("json servers\njson json mode\njson\njson # x\njson no acl 3\njson blacklist \xff")
	f.Add("server 0 acl 10 address ::1 port 70000 max -1 hard 9 blacklist 5 weight 1 prio")
	f.Add("server 65535 port 1\nservers\nwrite")
	f.Add("acl 1 permit 1.2.3.4 255.0.0.0\nacl 1 deny ::/129\nacl 1 permit country xx")
	f.Fuzz(func(t *testing.T, text string) {
		e, _, _ := newEnv(t)
		for line := range strings.Lines(text) {
			w := words(firstLine(line))
			machine := len(w) > 1 && w[0] == "json"
			if machine {
				w = w[1:]
			}
			if len(w) > 0 && e.lookup(w[0]) != nil && (touches(e, w) || strings.HasPrefix(w[0], "clients_max")) {
				continue // leave the disk alone, and the memory
			}
			reply := do(e, line)
			if machine && !json.Valid([]byte(reply)) {
				t.Fatalf("%q: reply %q", line, reply)
			}
			if limit := 2*MaxLine + 100 + 300*e.Service.Len() + 16000; len(reply) > limit {
				t.Fatalf("%q: a reply of %d bytes", line, len(reply))
			}
		}
		s := e.Settings.Get()
		if s.ClientACL < 0 || s.ClientACL > 9 || s.ControlACL < 0 || s.ControlACL > 9 || s.TarpitACL < -1 ||
			s.TarpitACL > 9 || s.PendingMax < 1 || s.ConnMax < 500 || s.IdleTimeout < 0 || s.Idlers < 0 {
			t.Errorf("after %q: %+v", text, s)
		}
		if e.Service.Len() > balance.MaxServers {
			t.Errorf("%d servers", e.Service.Len())
		}
	})
}
