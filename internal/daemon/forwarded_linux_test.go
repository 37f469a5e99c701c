package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestForwardedUnderLoad has wrk send requests over connections that stay open: nginx sees the headers of -H in every
// one of them, whatever pieces they came in.
func TestForwardedUnderLoad(t *testing.T) {
	need(t, "nginx", "wrk")
	const connections = 20
	eachEngine(t, func(t *testing.T, engine string) {
		dir := t.TempDir()
		file, behind := filepath.Join(dir, "log"), place127()
		nginx(t, dir, fmt.Sprintf(`log_format seen "$http_x_forwarded_for $http_x_forwarded_proto";
	server { listen %s; access_log %s seen; keepalive_requests 10000000; location / { return 200 "ok\n"; } }`, behind, file))
		addr := place127()
		p := serving(t, addr, behind, "-H", "-O", "forwarded strict", "-O", "engine "+engine)
		out, err := exec.Command("wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", "1s",
			"-H", "X-Forwarded-For: 192.0.2.1", "http://"+addr+"/").CombinedOutput()
		if err != nil {
			t.Fatalf("wrk: %v: %s", err, out)
		}
		m := regexp.MustCompile(`(\d+) requests in`).FindSubmatch(out)
		if m == nil || strings.Contains(string(out), "Non-2xx") || strings.Contains(string(out), "Socket errors") {
			t.Fatalf("wrk: %s", out)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		p.stop() // so nginx has seen all there is
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const want = "127.0.0.1 http\n"
		if seen := strings.Count(string(text), "\n"); seen < n || n < 2*connections {
			t.Errorf("wrk has %d answers to %d requests", n, seen)
		}
		if rest := strings.ReplaceAll(string(text), want, ""); rest != "" {
			t.Errorf("requests with other headers: %.200q", rest)
		}
	})
}
