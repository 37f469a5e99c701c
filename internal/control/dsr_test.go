package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// How packets go is chosen at start.
func TestDSRAtStart(t *testing.T) {
	t.Parallel()
	e, r, log := newEnv(t)
	r.serving = false
	do(e, "dsr_if eth1", "dsr_announce off", "dsr_announce on", "dsr_mode tc", "dsr_pin /a")
	r.serving = true
	do(e, "dsr_if eth1", "dsr_announce on", "dsr_mode tc", "dsr_pin /a") // a file read again
	if s := log.String(); s != "" {
		t.Errorf("log: %s", s)
	}
	do(e, "dsr_if eth2", "dsr_announce off", "dsr_announce maybe", "dsr_if", "dsr_vip",
		"dsr_mode auto", "dsr_mode slow", "dsr_pin /b", "dsr_pin")
	if s := e.Settings.Get(); s.DSRIf != "eth1" || !s.DSRAnnounce || s.DSRMode != "tc" || s.DSRPin != "/a" {
		t.Errorf("settings %+v", s)
	}
	want := "test: dsr_if: effective only at start\ntest: dsr_announce: effective only at start\n" +
		"test: dsr_announce: want on or off\ntest: dsr_if: argument missing\ntest: dsr_vip: argument missing\n" +
		"test: dsr_mode: effective only at start\ntest: dsr_mode: want auto, tc, packet, xdp, xdp-generic\n" +
		"test: dsr_pin: effective only at start\ntest: dsr_pin: argument missing\n"
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}

func TestDSRStatsInJSON(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	want := `{"dsr":{"servers":[{"address":"10.0.0.3","mac":"02:00:00:00:00:01","state":"alive","packets":3,"bytes":180},` +
		`{"address":"10.8.0.3","mac":"02:00:00:00:00:01","state":"alive","via":"10.0.0.1","mtu":1480,"packets":1,"bytes":60}],` +
		`"vips":[{"vip":"10.0.0.100:80/tcp","packets":3,"bytes":180}],"drops":[{"cause":"denied","frames":2}],` +
		`"answered":1,"lost":0,"reopened":0}}` + "\n"
	if d := cmp.Diff(want, do(e, "json dsr_stats")); d != "" {
		t.Error(d)
	}
}

// Where pen counts connections, direct server return counts packets; the status has all that dsr_stats has.
func TestDSRInServersAndStatus(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	r.packets = []uint64{3}
	want := "0 addr 127.0.0.1 port 1000 conn 3 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
		"1 addr 127.0.0.1 port 2000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n"
	if d := cmp.Diff(want, do(e, "servers")); d != "" {
		t.Error(d)
	}
	if got := do(e, "json status"); strings.Contains(got, `"dsr"`) {
		t.Errorf("without direct server return: %s", got)
	}
	r.direct = r.DSR()
	if got := do(e, "json status"); !strings.Contains(got, `"dsr":{"servers":[{"address":"10.0.0.3",`) {
		t.Errorf("status: %s", got)
	}
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	e, _, log := newEnv(t)
	do(e, "server 0 tunnel ipip", "server 1 tunnel ipip", "server 1 tunnel off", "server 0 tunnel gre max 7")
	if a, b := e.Service.Config(0), e.Service.Config(1); !a.Tunnel || b.Tunnel || a.Max != 7 {
		t.Errorf("servers %+v %+v", a, b)
	}
	do(e, "dsr_source 192.0.2.99/28", "dsr_source 2001:db8::/96", "dsr_source 2001:db8::7")
	want := []string{"dsr_source 192.0.2.96/28", "dsr_source 2001:db8::7/128"}
	if d := cmp.Diff(want, dsrSourceSave(e, e.Settings.Get())); d != "" {
		t.Errorf("saved (-want +got):\n%s", d)
	}
	do(e, "dsr_source", "dsr_source here", "dsr_source 224.0.0.0/8", "dsr_source ::/0")
	if d := cmp.Diff(want, dsrSourceSave(e, e.Settings.Get())); d != "" {
		t.Errorf("after mistakes (-want +got):\n%s", d)
	}
	do(e, "no dsr_source")
	if got := dsrSourceSave(e, e.Settings.Get()); got != nil {
		t.Errorf("saved %v", got)
	}
	wantLog := "test: server: tunnel gre: want ipip or off\n" +
		"test: dsr_source: '': want ADDRESS/LENGTH\ntest: dsr_source: 'here': want ADDRESS/LENGTH\n" +
		"test: dsr_source: nobody can have addresses of 224.0.0.0/8\n" +
		"test: dsr_source: nobody can have addresses of ::/0\n"
	if d := cmp.Diff(wantLog, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
}
