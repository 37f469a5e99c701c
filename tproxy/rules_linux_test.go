package tproxy

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/penlb/pen/internal/testnet"
)

// ruleset is all that nft and ip show inside h.
func ruleset(t *testing.T, h *testnet.Host) string {
	t.Helper()
	out, err := h.Exec("sh", "-c", "nft list ruleset; ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestApply puts rules in place beside those of somebody else, twice as after a kill, and takes exactly them away.
func TestApply(t *testing.T) {
	testnet.Need(t, testnet.Root)
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip(err)
	}
	h := testnet.New(t).Host("pen")
	foreign := "nft add table inet other && ip rule add pref 7 fwmark 9 lookup 9 && ip route add local default dev lo table 9"
	if out, err := h.Exec("sh", "-c", foreign).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := ruleset(t, h)
	for _, coarse := range []bool{false, true} {
		p := &Plan{At: "10.8.1.1:80", Six: true, Coarse: coarse, Servers: []netip.AddrPort{netip.MustParseAddrPort("10.8.2.2:80")}}
		if out, err := h.Exec("sh", "-c", p.Up()).CombinedOutput(); err != nil { // what a pen that was killed has left
			t.Fatalf("%v: %s", err, out)
		}
		left := ruleset(t, h)
		err := h.Do(func() error {
			r, err := p.Apply()
			if err != nil {
				return err
			}
			if r.Coarse() != coarse {
				t.Errorf("coarse: %v, want %v", r.Coarse(), coarse)
			}
			if !p.placed() {
				t.Error("not in place")
			}
			if now := ruleset(t, h); now != left {
				t.Errorf("twice in place:\n%s\nonce:\n%s", now, left)
			}
			return r.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		if after := ruleset(t, h); after != before {
			t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
		}
	}
}

// TestWrong names what is wrong on a machine that knows neither the rules nor a way to the server, and on one where only
// the rules are missing.
func TestWrong(t *testing.T) {
	testnet.Need(t, testnet.Root)
	lab := testnet.New(t)
	far, near := lab.Host("far"), lab.Host("near")
	loose, strict := lab.Link(far, near, "10.8.1.1/24", "10.8.1.2/24 fd08:1::2/64")
	for _, name := range []string{"all", "default", loose} {
		far.SetSysctl("net.ipv4.conf."+name+".rp_filter", "2")
	}
	near.SetSysctl("net.ipv4.conf.all.rp_filter", "1")
	far.SetSysctl("net.ipv4.ip_forward", "1")
	for _, tt := range []struct {
		host        *testnet.Host
		servers     []string
		want, never []string
	}{
		{
			near, []string{"10.8.2.2:80", "127.0.0.1:80", "[fd08:1::3]:80"},
			[]string{
				"not in place", "no route leads to server 10.8.2.2:80", "server 127.0.0.1:80 is this machine", "rp_filter is 1 on " + strict + ":",
				"net.ipv4.ip_forward is 0", "net.ipv6.conf.all.forwarding is 0",
			},
			[]string{"fd08:1::3"},
		},
		{far, []string{"10.8.1.2:80"}, []string{"not in place"}, []string{"route", "rp_filter", "forward"}},
	} {
		p := &Plan{At: "10.8.1.1:80"}
		for _, s := range tt.servers {
			p.Servers = append(p.Servers, netip.MustParseAddrPort(s))
		}
		var lines []string
		if err := tt.host.Do(func() error { lines = p.Wrong(); return nil }); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(lines, "\n")
		for _, want := range tt.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v: %q is not in %q", tt.servers, want, said)
			}
		}
		for _, never := range tt.never {
			if strings.Contains(said, never) {
				t.Errorf("%v: %q is in %q", tt.servers, never, said)
			}
		}
	}
}
