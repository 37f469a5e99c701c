package archtest

import (
	"errors"
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the prefix of our own import paths.
const module = "github.com/penlb/pen/"

// mechanism maps each package that moves bytes to those of ours it may import, besides what lies under itself.
var mechanism = map[string][]string{
	"internal/sock":    {},
	"internal/tlsloop": {"ring", "internal/sock"},
	"ring":             {"internal/sock"},
	"splice":           {"ring", "internal/sock"},
	"dsr":              {"internal/sock"},
	"tproxy":           {"internal/sock"},
}

// policy are the packages that decide. What lies under one of them, such as the sink of the access log, does the I/O
// that it must not do itself, and does not belong to policy.
var policy = []string{
	"internal/accesslog", "internal/accesslog/match", "internal/acl", "internal/balance", "internal/client",
	"internal/header", "internal/settings", "internal/stats",
}

// commands maps each program to those of ours it may import.
var commands = map[string][]string{
	"cmd/pen":       {"internal/daemon"},
	"cmd/penctl":    {"internal/control"},
	"cmd/penlog":    {},
	"cmd/penlogd":   {"internal/penlogd"},
	"cmd/mergelogs": {"internal/accesslog/match", "internal/getopt"},
}

// exclusive maps what is imported, of ours or of others, to those of ours that may.
var exclusive = map[string][]string{
	"golang.org/x/sys/unix":                   {"ring", "splice", "dsr", "tproxy", "internal/sock"},
	"golang.org/x/sys/windows/svc":            {"internal/process"},
	"github.com/cilium/ebpf":                  {"dsr", "tproxy", "bench"},
	"github.com/oschwald/maxminddb-golang/v2": {"internal/geoip"},
	module + "cmd":                            {"cmd"},
	module + "internal/daemon":                {"cmd"},
	module + "internal/penlogd":               {"cmd"},
	module + "bench":                          {"bench"},
}

// pkg is a package of ours: its path within the module, and the full paths of what it imports, tests aside.
type pkg struct {
	path    string
	imports []string
}

// under reports whether path is one of dirs or lies in one.
func under(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") })
}

// touches reports whether a package of the standard library reaches the world outside the process.
func touches(std string) bool {
	return under(std, "os", "net", "syscall", "log") && std != "net/netip"
}

// violations are the imports against the rules, sorted.
func violations(pkgs []pkg) []string {
	var found []string
	for _, p := range pkgs {
		for _, imp := range p.imports {
			if why := forbidden(p.path, imp); why != "" {
				found = append(found, p.path+" imports "+imp+": "+why)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// forbidden says why the package at path may not import imp, or nothing.
func forbidden(path, imp string) string {
	for what, who := range exclusive {
		if under(imp, what) && !under(path, who...) {
			return "only for " + strings.Join(who, ", ")
		}
	}
	own, ours := strings.CutPrefix(imp, module)
	if slices.Contains(policy, path) {
		std := !strings.Contains(strings.Split(imp, "/")[0], ".")
		switch {
		case ours && !slices.Contains(policy, own):
			return "policy knows only policy"
		case std && touches(imp):
			return "policy does no I/O"
		case !ours && !std:
			return "policy needs only the standard library"
		}
	}
	if !ours {
		return ""
	}
	for dir, allowed := range mechanism {
		if under(path, dir) && !under(own, dir) && !under(own, allowed...) {
			return "mechanism knows only mechanism below it"
		}
	}
	if under(path, "cmd") && !under(own, path) && !under(own, commands[path]...) {
		return "programs are thin"
	}
	return ""
}

func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "freebsd", "windows"} {
		t.Run(goos, func(t *testing.T) {
			t.Parallel()
			pkgs := list(t, goos)
			if len(pkgs) < 5 {
				t.Fatalf("only %d packages found", len(pkgs))
			}
			for _, v := range violations(pkgs) {
				t.Error(v)
			}
		})
	}
}

// list is every package of the module as built for goos. It reads the files itself instead of asking the go command,
// so that the test runs again when one of them changes.
func list(t *testing.T, goos string) []pkg {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.CgoEnabled = goos, false
	const root = "../.."
	var pkgs []pkg
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == root {
			return err
		}
		if name := d.Name(); name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			return filepath.SkipDir
		}
		p, err := ctx.ImportDir(dir, 0)
		if _, none := errors.AsType[*build.NoGoError](err); none {
			return nil
		} else if err != nil {
			return err
		}
		path, err := filepath.Rel(root, dir)
		pkgs = append(pkgs, pkg{filepath.ToSlash(path), p.Imports})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// The rules find what they are for, in a house made up for the purpose.
func TestViolations(t *testing.T) {
	const unix, ebpf = "golang.org/x/sys/unix", "github.com/cilium/ebpf/link"
	good := []pkg{
		{"internal/sock", []string{"net", "os", unix}},
		{"ring", []string{module + "internal/sock", unix}},
		{"ring/ringtest", []string{module + "ring", "testing"}},
		{"splice", []string{module + "ring", module + "internal/sock", unix}},
		{"dsr", []string{module + "internal/sock", module + "dsr/wire", ebpf}},
		{"internal/balance", []string{"sync/atomic", "net/netip", "time"}},
		{"internal/settings", []string{module + "internal/balance"}},
		{"internal/proxy", []string{module + "splice", module + "internal/acl", "net"}},
		{"internal/daemon", []string{module + "internal/proxy", "github.com/pelletier/go-toml"}},
		{"cmd/pen", []string{module + "internal/daemon", "os"}},
		{"internal/accesslog/sink", []string{module + "internal/accesslog", "os"}},
		{"bench/run", []string{module + "bench/load", "net"}},
	}
	if got := violations(good); got != nil {
		t.Errorf("a sound house violates rules: %q", got)
	}
	bad := []pkg{
		{"bench/run", []string{unix}},
		{"cmd/new", []string{module + "internal/control"}},
		{"cmd/pen", []string{module + "internal/proxy"}},
		{"dsr/flow", []string{module + "ring"}},
		{"internal/acl", []string{"github.com/google/gopacket"}},
		{"internal/accesslog", []string{module + "internal/accesslog/sink"}},
		{"internal/balance", []string{"net", "net/http", "os", "syscall", module + "internal/sock"}},
		{"internal/proxy", []string{module + "internal/daemon", ebpf, module + "bench/load"}},
		{"internal/sock", []string{module + "ring"}},
		{"ring", []string{module + "internal/proxy", module + "splice"}},
		{"splice", []string{module + "internal/balance"}},
	}
	want := []string{
		"bench/run imports golang.org/x/sys/unix: only for ring, splice, dsr, tproxy, internal/sock",
		"cmd/new imports github.com/penlb/pen/internal/control: programs are thin",
		"cmd/pen imports github.com/penlb/pen/internal/proxy: programs are thin",
		"dsr/flow imports github.com/penlb/pen/ring: mechanism knows only mechanism below it",
		"internal/accesslog imports github.com/penlb/pen/internal/accesslog/sink: policy knows only policy",
		"internal/acl imports github.com/google/gopacket: policy needs only the standard library",
		"internal/balance imports github.com/penlb/pen/internal/sock: policy knows only policy",
		"internal/balance imports net/http: policy does no I/O",
		"internal/balance imports net: policy does no I/O",
		"internal/balance imports os: policy does no I/O",
		"internal/balance imports syscall: policy does no I/O",
		"internal/proxy imports github.com/cilium/ebpf/link: only for dsr, tproxy, bench",
		"internal/proxy imports github.com/penlb/pen/bench/load: only for bench",
		"internal/proxy imports github.com/penlb/pen/internal/daemon: only for cmd",
		"internal/sock imports github.com/penlb/pen/ring: mechanism knows only mechanism below it",
		"ring imports github.com/penlb/pen/internal/proxy: mechanism knows only mechanism below it",
		"ring imports github.com/penlb/pen/splice: mechanism knows only mechanism below it",
		"splice imports github.com/penlb/pen/internal/balance: mechanism knows only mechanism below it",
	}
	if diff := cmp.Diff(want, violations(bad)); diff != "" {
		t.Error(diff)
	}
}
