package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	const server0 = `{"index":0,"address":"127.0.0.1","port":1000,"connections":0,"max":0,"hard":0,"weight":0,"prio":0,` +
		`"sent_bytes":0,"received_bytes":0,"failed_at_unix_seconds":0}`
	tests := []struct {
		lines string // separated by ;
		want  string // the reply to the last
	}{
		{"json servers", `{"servers":[` + server0 + `,` + strings.NewReplacer(`index":0`, `index":1`, "1000", "2000").Replace(server0) + `]}`},
		{"json recent", `{"clients":[]}`},
		{"json mode", `{"hash":false,"prio":false,"roundrobin":false,"stubborn":false,"weight":false}`},
		{"json engine", `{"engine":"epoll","features":["accept4"],"passed_over":[{"name":"uring","reason":"it is forbidden here"}],"pipes_open":3,"pipes_used":1,"spin":"off","threads":2}`},
		{"json connection 0", `{"client":4,"connection":0,"down_fd":8,"pending_bytes":77,"server":1,"state":2,"up_fd":9}`},
		{"json connection 7", `{"error":"connection: connection 7 out of range"}`},
		{"json close 0", `{"connection":0}`},
		{"json close 7", `{"error":"close: connection 7 out of range"}`},
		{"json socket 9", `{"connection":0,"fd":9}`},
		{"json status", `{"clients":[{"address":"10.0.0.1","idle_seconds":5,"server":0,"connects":2,"sent_bytes":3,"received_bytes":4}],` +
			`"clients_max":2048,"conn_max":500,"connections":[{"connection":0,"down_fd":8,"up_fd":9,"client":0,"server":0,"pending_bytes":77}],` +
			`"connections_used":1,"current_server":0,"servers":[{"index":0,"address":"127.0.0.1","port":1000,"connections":1,"max":0,"hard":0,` +
			`"weight":0,"prio":0,"sent_bytes":7,"received_bytes":8,"failed_at_unix_seconds":9}],"time_unix_seconds":1700000000}`},

		{"json blacklist", `{"blacklist_seconds":30}`},
		{"json blacklist 7;json blacklist", `{"blacklist_seconds":7}`},
		{"json timeout", `{"timeout_seconds":3}`},
		{"json tracking", `{"tracking_seconds":0}`},
		{"json idle_timeout 5", `{"idle_timeout_seconds":5}`},
		{"json client_acl", `{"client_acl":0}`},
		{"json tarpit_acl", `{"tarpit_acl":-1}`},
		{"json pending_max 5", `{"pending_max":5}`},
		{"json clients_max", `{"clients_max":2048}`},
		{"json conn_max 600", `{"conn_max":600}`},
		{"json idlers 2", `{"idlers":2,"idlers_open":1}`},
		{"json debug", `{"debug":0}`},
		{"json pid", fmt.Sprintf(`{"pid":%d}`, os.Getpid())},
		{"json control", `{"control":"/run/pen.ctl"}`},
		{"json listen", `{"listen":"127.0.0.1:8080"}`},
		{"json log", `{"log":""}`},
		{"json log /l;json no log", `{"log":""}`},
		{"json web_stats /w<>", `{"web_stats":"/w<>"}`},
		{"json hash", `{"hash":true}`},
		{"json no hash", `{"hash":false}`},
		{"json tcp_fastclose both", `{"tcp_fastclose":"both"}`},
		{"json forwarded strict", `{"forwarded":"strict"}`},
		{"json forwarded x", `{"error":"forwarded: unknown word 'x': want keep, append, strict"}`},
		{"json spin auto", `{"spin":"auto"}`},
		{"json spin 1001", `{"error":"spin: off, auto or microseconds: 1001 is out of range: want 0 to 1000"}`},
		{"json congestion reno", `{"congestion":"reno"}`},
		{"json congestion nosuch", `{"error":"congestion: it is broken"}`},
		{"json congestion reno;json no congestion", `{"congestion":""}`},
		{"json log_format json", `{"log_format":"json"}`},
		{"json log_syslog on", `{"log_syslog":"on"}`},
		{"json log_syslog yes", `{"error":"log_syslog: unknown word 'yes': want off, on"}`},
		{"json geoip_db /db", `{"geoip_db":"/db"}`},
		{"json geoip_db /broken", `{"error":"geoip_db: it is broken"}`},
		{"json geoip_db /db;json no geoip_db", `{"geoip_db":""}`},
		{"json ssl_ciphers HIGH", `{"ssl_ciphers":"HIGH"}`},
		{"json ssl_option a;json ssl_option b", `{"ssl_options":["a","b"]}`},
		{"json source localhost", `{"source":"localhost"}`},
		{"json server 0 max 5", `{}`},
		{"json acl 1 permit 1.2.3.4", `{}`},
		{"json no acl 1", `{}`},
		{"json help pid", `{"commands":[{"form":"pid","help":"show the process number"}]}`},

		{"json frob", "{\"error\":\"frob: unknown command; `help` lists those there are\"}"},
		{"json no frob", `{"error":"no: nothing known as 'frob'"}`},
		{"json blacklist x", `{"error":"blacklist: x is not a number: want -2147483648 to 2147483647"}`},
		{"json blacklist x;json blacklist", `{"blacklist_seconds":30}`},
		{"json server 0 max 5 colour red;servers", "0 addr 127.0.0.1 port 1000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0\n" +
			"1 addr 127.0.0.1 port 2000 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0"},
		{"json exit", `{"error":"exit: not enabled; restart with -X flag"}`},
		{"json help frob", `{"error":"help: no command is called 'frob'"}`},
		{"json write", `{"error":"write: no file"}`},
		{"json include /no/such", `{"error":"include: Can't read config file '/no/such': open /no/such: no such file or directory"}`},
		{"json threads 3", `{"error":"threads: effective only at start"}`},
		{"json tcp_fastclose", `{"error":"tcp_fastclose: argument missing: want up, down, both, off"}`},
		{"json", ""},
	}
	for _, tt := range tests {
		t.Run(tt.lines, func(t *testing.T) {
			t.Parallel()
			e, _, _ := newEnv(t)
			if d := cmp.Diff(tt.want, strings.TrimSuffix(do(e, strings.Split(tt.lines, ";")...), "\n")); d != "" {
				t.Errorf("reply (-want +got):\n%s", d)
			}
		})
	}
}

// TestJSONOfFiles has the result of an include, and its replies where those of all files go.
func TestJSONOfFiles(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{"good": "blacklist 7\nfrob\n", "bad": "blacklist 8\ndebug x\nfrob\n"})
	e, _, _ := newEnv(t)
	var stdout bytes.Buffer
	e.Stdout = &stdout
	if got := do(e, "json include "+dir+"/good"); got != "{}\n" || stdout.String() != "7\ndo_cmd: ignoring command starting with 'frob'\n" {
		t.Errorf("reply %q, replies of the file %q", got, &stdout)
	}
	want := fmt.Sprintf(`{"error":"%s/bad:2: debug: x is not a number: want -2147483648 to 2147483647"}`, dir) + "\n"
	if got := do(e, "json include "+dir+"/bad"); got != want {
		t.Errorf("reply %q, want %q", got, want)
	}
}

// TestEveryCommandSpeaksJSON wants one object on one line, with units in names.
func TestEveryCommandSpeaksJSON(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		for _, args := range []string{"", " 0", " x y z"} {
			if c.name == "include" || c.name == "write" {
				continue // these would read and write files of such names
			}
			e, r, _ := newEnv(t)
			r.page = "<html>\n"
			reply := do(e, "json "+c.name+args)
			var object map[string]any
			if err := json.Unmarshal([]byte(reply), &object); err != nil || strings.Count(reply, "\n") != 1 {
				t.Errorf("%s%s: %q: %v", c.name, args, reply, err)
			}
			if _, failed := object["error"]; failed && len(object) != 1 {
				t.Errorf("%s%s: an error with more: %q", c.name, args, reply)
			}
		}
	}
}
