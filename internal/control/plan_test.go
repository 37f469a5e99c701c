package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/settings"
)

// files makes files in a directory of their own. DIR in their text stands for it.
func files(t *testing.T, texts map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRunFile(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"inner": "blacklist 77\r\nfrob\n",
		"outer": "# a comment\n\n  debug 3\nacl 1 permit 10.0.0.1\ninclude DIR/inner\nmode", // no newline at the end
	})
	e, r, log := newEnv(t)
	var stdout bytes.Buffer
	e.Stdout = &stdout
	if err := e.RunFile(filepath.Join(dir, "outer")); err != nil {
		t.Fatal(err)
	}
	want := "3\n77\ndo_cmd: ignoring command starting with 'frob'\nno hash no roundrobin no stubborn no weight no prio\n"
	if d := cmp.Diff(want, stdout.String()); d != "" {
		t.Errorf("replies (-want +got):\n%s", d)
	}
	if d := cmp.Diff(dir+"/inner:2: frob: unknown command\n", log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
	if e.ACL.Permits(1, netip.MustParseAddr("10.0.0.2")) {
		t.Error("the access list is not in effect")
	}
	if r.changed != 1 {
		t.Errorf("told of %d changes after one", r.changed)
	}
}

func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	dir := t.TempDir()
	if err := e.RunFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
	if err := e.RunFile(dir); err == nil {
		t.Error("a directory was read")
	}
	half := strings.Repeat("#", maxBytes/2)
	dir = files(t, map[string]string{"half": half, "long": half + half + "#", "both": "include DIR/half\ninclude DIR/half\n"})
	if err := e.RunFile(dir + "/half"); err != nil {
		t.Errorf("a file that is long enough: %v", err)
	}
	if err := e.RunFile(dir + "/long"); !errors.Is(err, errLong) {
		t.Errorf("a file that is too long: %v", err)
	}
	if err := e.RunFile(dir + "/both"); err == nil || !strings.Contains(err.Error(), "both:2: include: ") {
		t.Errorf("files that are too long together: %v", err)
	}
}

// everyMistake is one of each kind, with what is said of it.
var everyMistake = []struct{ line, want string }{
	{"blacklist abc", "blacklist: abc is not a number: want -2147483648 to 2147483647"},
	{"timeout 12abc", "timeout: 12abc is not a number: want -2147483648 to 2147483647"},
	{"debug 99999999999999999999", "debug: 99999999999999999999 is out of range: want -2147483648 to 2147483647"},
	{"client_acl 10", "client_acl: 10 is out of range: want 0 to 9"},
	{"tarpit_acl -2", "tarpit_acl: -2 is out of range: want -1 to 9"},
	{"pending_max", "pending_max: argument missing: want a number"},
	{"threads x", "threads: x is not a number: want -2147483648 to 2147483647"},
	{"idlers x", "idlers: x is not a number: want -2147483648 to 2147483647"},
	{"engine x", "engine: unknown word 'x': want uring, epoll, kqueue, portable, best"},
	{"tcp_fastclose", "tcp_fastclose: argument missing: want up, down, both, off"},
	{"ssl_ciphers", "ssl_ciphers: argument missing: want a word"},
	{"acl", "acl: argument missing: want the number of a list"},
	{"acl 10 permit 1.2.3.4", "acl: list 10 is out of range: want 0 to 9"},
	{"acl 1 permit", "acl: an address or a country is missing after permit; " +
		"want permit|deny ADDRESS [MASK], ADDRESS/LENGTH or country CC"},
	{"no acl", "no acl: argument missing: want a number"},
	{"no acl x", "no acl: x is not a number: want 0 to 9"},
	{"server", "server: argument missing: want the number of a server"},
	{"server 65536 port 1", "server: server 65536 is out of range: want 0 to 65535"},
	{"server 0 max", "server: argument missing: want a value after max"},
	{"server 0 port http", "server: port http is not a number: want 0 to 65535"},
	{"server 0 address nosuch.invalid", "server: address nosuch.invalid: lookup nosuch.invalid: no such host; " +
		"give an IP address, or a name that this machine can look up"},
	{"source nosuch.invalid", "source: nosuch.invalid: lookup nosuch.invalid: no such host; " +
		"give an IP address, or a name that this machine can look up"},
	{"listen 99999", `listen: port "99999" out of range: want 1 to 65535 or the name of a service, in "99999"`},
	{"listen nosuch.invalid:80", "listen: can't convert address 'nosuch.invalid': lookup nosuch.invalid: no such host; " +
		"give an IP address, or a name that this machine can look up"},
	{"log nosuch.invalid:514", "log: log host nosuch.invalid: lookup nosuch.invalid: no such host; " +
		"give an IP address, or a name that this machine can look up"},
	{"include", "include: argument missing: want a word"},
	{"include /no/such", "include: Can't read config file '/no/such': open /no/such: no such file or directory"},
	{"check", "check: only the command line may say so, with -O"},
	{"control_dir /", "control_dir: only the command line may say so, with -O"},
	{"control_mode 0660", "control_mode: only the command line may say so, with -O"},
}

// TestMistakes wants all mistakes of a file told at once, and nothing of the file in effect.
func TestMistakes(t *testing.T) {
	t.Parallel()
	var text, want strings.Builder
	text.WriteString("blacklist 7\nacl 1 deny 10.0.0.1\nserver 0 max 9\nfrob\nlog /l\nlisten 1.2.3.4:5\nno log\n")
	for i, m := range everyMistake {
		fmt.Fprintln(&text, m.line)
		fmt.Fprintf(&want, "DIR/cfg:%d: %s\n", i+8, m.want)
	}
	dir := files(t, map[string]string{"cfg": text.String(), "outer": "hash\ninclude DIR/cfg\n"})
	for _, file := range []string{"cfg", "outer"} {
		e, r, log := newEnv(t)
		err := e.RunFile(filepath.Join(dir, file))
		var wrong Problems
		if !errors.As(err, &wrong) || len(wrong) != len(everyMistake) {
			t.Fatalf("%s: %v", file, err)
		}
		if d := cmp.Diff(strings.ReplaceAll(want.String(), "DIR", dir), err.Error()+"\n"); d != "" {
			t.Errorf("%s: mistakes (-want +got):\n%s", file, d)
		}
		if d := cmp.Diff(settings.Default(), *e.Settings.Get(), sameAddr); d != "" {
			t.Errorf("%s: settings (-want +got):\n%s", file, d)
		}
		if r.changed != 0 || len(r.opened) != 0 || r.listen != "127.0.0.1:8080" || e.ACL.Entries(1) != nil ||
			e.Service.Config(0).Max != 0 || log.String() != "" {
			t.Errorf("%s: something is in effect: %+v, log %q", file, r, log)
		}
	}
}

// TestIncludeWithMistakes is what a control client meets: silence, as in pen, with the reasons in the log.
func TestIncludeWithMistakes(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "blacklist 7\ndebug x\n"})
	e, _, log := newEnv(t)
	reply, err := e.Run("include "+dir+"/cfg", Position{Source: "-O"})
	var wrong Problems
	if len(reply) > 0 || !errors.As(err, &wrong) {
		t.Errorf("reply %q, error %v", reply, err)
	}
	want := dir + "/cfg:2: debug: x is not a number: want -2147483648 to 2147483647\n"
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
	if got := do(e, "blacklist"); got != "30\n" {
		t.Errorf("blacklist is %s", got)
	}
}

// TestFilesThatIncludeEachOther end, and say so once for each include that is too deep.
func TestFilesThatIncludeEachOther(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"loop": "include DIR/loop\n", "twice": "include DIR/twice\ninclude DIR/twice\n"})
	for _, name := range []string{"loop", "twice"} {
		e, _, _ := newEnv(t)
		if err := e.RunFile(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), errFiles.Error()) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// TestCheck executes nothing, and finds unknown words too.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "frob\nblacklist x\nno frob\nserver 0 colour red max 3\nno\n"})
	e, _, _ := newEnv(t)
	wrong, err := e.CheckFile(dir + "/cfg")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll("DIR:1: frob: unknown command; `help` lists those there are\n"+
		"DIR:2: blacklist: x is not a number: want -2147483648 to 2147483647\n"+
		"DIR:3: no: nothing known as 'frob'\n"+
		"DIR:4: server: unknown key 'colour'\n"+
		"DIR:5: no: argument missing", "DIR", dir+"/cfg")
	if d := cmp.Diff(want, wrong.Error()); d != "" {
		t.Errorf("file (-want +got):\n%s", d)
	}
	if _, err := e.CheckFile(dir); err == nil {
		t.Error("a directory was read")
	}
	wrong = e.Check("blacklist x", Position{Source: "-O"})
	if d := cmp.Diff("-O: blacklist: x is not a number: want -2147483648 to 2147483647", wrong.Error()); d != "" {
		t.Errorf("line (-want +got):\n%s", d)
	}
	if wrong := e.Check("blacklist 5", Position{Source: "-O"}); len(wrong) > 0 || do(e, "blacklist") != "30\n" {
		t.Errorf("%v; blacklist is %s", wrong, do(e, "blacklist"))
	}
}

// TestListsComeFirst has a loop look at a list that a file fills, and at a setting that refers to it.
func TestListsComeFirst(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"cfg": "client_acl 1\nserver 0 acl 1\nlog /l\nacl 1 deny 10.0.0.1\nacl 1 permit 0.0.0.0/0\n"})
	e, r, _ := newEnv(t)
	denied := netip.MustParseAddr("10.0.0.1")
	look := func(when string, list int) {
		if got := e.Settings.Get().ClientACL; got != list {
			t.Errorf("%s: client_acl is %d", when, got)
		}
	}
	r.onOpen = func() {
		look("while the file is executed", 0)
		if e.ACL.Permits(1, denied) {
			t.Error("the list is not in effect when a server refers to it")
		}
	}
	if err := e.RunFile(dir + "/cfg"); err != nil {
		t.Fatal(err)
	}
	look("afterwards", 1)
}

// TestNamesTogether wants the names of a file looked up at the same time, each once, before anything happens.
func TestNamesTogether(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 40 {
		fmt.Fprintf(&text, "server %d address host%d.test port 80\nserver %d address 10.0.0.1\n", i, i%resolvers, i)
	}
	dir := files(t, map[string]string{"cfg": "blacklist 7\n" + text.String()})
	e, r, _ := newEnv(t)
	var mu sync.Mutex
	asked := map[string]int{}
	all := make(chan struct{})
	r.resolve = func(_ context.Context, host string) (netip.Addr, error) {
		mu.Lock()
		if asked[host]++; len(asked) == resolvers {
			close(all)
		}
		mu.Unlock()
		<-all // one after the other would never get here
		if do(e, "blacklist") != "30\n" {
			t.Error("executed before all names were known")
		}
		return netip.MustParseAddr("10.0.0.2"), nil
	}
	if err := e.RunFile(dir + "/cfg"); err != nil {
		t.Fatal(err)
	}
	for host, n := range asked {
		if n != 1 {
			t.Errorf("%s was looked up %d times", host, n)
		}
	}
	if n := e.Service.Len(); n != 40 {
		t.Errorf("%d servers", n)
	}
}

// TestListen hands over what was looked up.
func TestListen(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"80": "0.0.0.0:80", "localhost:81": "127.0.0.1:81", "[::1]:82": "[::1]:82", "::1:83": "[::1]:83", "/sock": "invalid AddrPort",
		":http": "0.0.0.0:80",
	} {
		e, r, _ := newEnv(t)
		if got := do(e, "listen "+spec); got != spec+"\n" || r.listenAt.String() != want {
			t.Errorf("%s: reply %q, listens at %s; want %s", spec, got, r.listenAt, want)
		}
	}
	e, r, log := newEnv(t)
	_, err := e.Run("listen nosuch.invalid:80", Position{Source: "-O"})
	want := "-O: listen: can't convert address 'nosuch.invalid': lookup nosuch.invalid: no such host"
	if errText(err) != want || r.listen != "127.0.0.1:8080" || !strings.Contains(log.String(), "no such host") {
		t.Errorf("error %v, listens at %s", err, r.listen)
	}
}

// FuzzFile executes any text as a file. A file without a mistake is executed without complaint, one with a mistake
// not at all.
func FuzzFile(f *testing.F) {
	for _, m := range everyMistake {
		f.Add(m.line + "\nblacklist 5")
	}
	f.Add("acl 1 permit 1.2.3.4 255.0.0.0\nserver 0 address localhost port 5 max 3\nsource localhost\nlisten localhost:80")
	f.Add("json servers\njson include\n# x\r\n\x00\nno\nno acl 3\nno hash\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, r, log := newEnv(t)
		var replies bytes.Buffer
		e.Stdout = &replies
		p := e.newPlan(Remote) // who has no files: the disk is left alone
		for line := range strings.Lines(text) {
			if !strings.Contains(line, "clients_max") { // leave the memory alone
				p.add(line, Position{Source: "fuzz", Line: 1, nesting: 1})
			}
		}
		p.finish()
		if len(p.problems) > 0 {
			return
		}
		before := *e.Settings.Get()
		e.apply(p, e.print)
		for _, l := range p.lines {
			switch l.name {
			case "write", "status", "exit", "engine", "threads", "epoll", "kqueue", "poll", "select", "help":
				return // depend on more than their words
			}
		}
		if len(p.doubts) == 0 && log.String() != "" {
			t.Errorf("%q: no mistake, but: %s", text, log)
		}
		if r.changed > 1 || r.changed == 0 && !cmp.Equal(before, *e.Settings.Get(), sameAddr) {
			t.Errorf("%q: told of %d changes", text, r.changed)
		}
	})
}
