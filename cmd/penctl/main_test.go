package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// serveOne answers one connection with the line it read, on loopback of the given family.
func serveOne(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "got "+line)
	}()
	return l.Addr().String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	server := serveOne(t, "127.0.0.1:0")
	fit := strings.Repeat("x", maxCommand)
	tests := []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string
	}{
		{"no arguments", nil, 0, "usage: penctl host:port command\n", ""},
		{"no command", []string{"127.0.0.1:1"}, 0, "usage: penctl host:port command\n", ""},
		{"words are joined", []string{server, "server 0", "max", "5 hard 6"}, 0, "got server 0 max 5 hard 6\n", ""},
		{"json of what is no pen", []string{"-j", serveOne(t, "127.0.0.1:0"), "pid"}, 1, "",
			`the reply is not JSON, perhaps the server is too old: "got json pid\n"` + "\n"},
		{"json without command", []string{"-j", "127.0.0.1:1"}, 0, "usage: penctl host:port command\n", ""},
		{"no port", []string{"nocolon", "mode"}, 1, "", "no port given\n"},
		{"nobody there", []string{"/no/such/socket", "mode"}, 1, "", "error connecting to server\n"},
		{"longest", []string{serveOne(t, "127.0.0.1:0"), fit[2:], "x"}, 0, "got " + fit[2:] + " x\n", ""},
		{"too long", []string{serveOne(t, "127.0.0.1:0"), fit, ""}, 1, "", "Overlong argument list\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			status := run(env{args: tt.args, stdout: &stdout, stderr: &stderr})
			if status != tt.status || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q, %q",
					status, stdout.String(), stderr.String(), tt.status, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestIPv6WithAndWithoutBrackets(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on loopback: %v", err)
	}
	probe.Close()
	for _, form := range []string{"::1", "[::1]"} {
		_, port, _ := net.SplitHostPort(serveOne(t, "[::1]:0"))
		var stdout, stderr strings.Builder
		if status := run(env{args: []string{form + ":" + port, "pid"}, stdout: &stdout, stderr: &stderr}); status != 0 ||
			stdout.String() != "got pid\n" {
			t.Errorf("%s: status %d, %q %q", form, status, stdout.String(), stderr.String())
		}
	}
}
