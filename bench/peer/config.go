package peer

import (
	"fmt"
	"strconv"
)

// fileSlack are descriptors beside the two of a connection: listeners, logs, epoll sets, the pipes of HAProxy.
const fileSlack = 500

// MaxConns is how many proxied connections fit into a limit of open files.
func MaxConns(openFiles uint64) int {
	return max(0, int(min(openFiles, 1<<20))-fileSlack) / 2
}

// haproxy returns the configuration of HAProxy: "" as it comes, "splice" as its documentation advises for bulk.
// splice-auto is not used: it does not engage on the loopback. With strict limits HAProxy wants descriptors for
// maxconn/4 pipes, so their number is set for both.
func haproxy(tuned string) func(*Setup) string {
	global, defaults := "", ""
	if tuned == "splice" {
		global = "\ttune.pipesize 262144\n"
		defaults = "\toption splice-request\n\toption splice-response\n"
	}
	return func(s *Setup) string {
		kind := ""
		if s.Cert != "" {
			kind = " ssl prefer-client-ciphers crt " + s.Cert // as all others do
		}
		return fmt.Sprintf(`global
	nbthread 1
	maxconn %d
	maxpipes 200
%sdefaults
	mode tcp
	timeout connect 5s
	timeout client 10m
	timeout server 10m
%slisten bench
	bind %s backlog 4096%s
	server backend %s
`, s.Conns, global, defaults, s.Listen, kind, s.Backend)
	}
}

func haproxyArgs(s *Setup) []string { return []string{"-db", "-q", "-f", configFile(s)} }

// nginx returns the configuration of nginx with one worker and the given proxy_buffer_size (16k is its default).
func nginx(buffer string) func(*Setup) string {
	return func(s *Setup) string {
		kind := "backlog=4096"
		if s.UDP {
			kind = "udp"
		}
		more := ""
		if s.Answers > 0 {
			more = fmt.Sprintf("\t\tproxy_responses %d;\n", s.Answers)
		}
		if s.Cert != "" {
			kind += " ssl"
			more = fmt.Sprintf("\t\tssl_certificate %s;\n\t\tssl_certificate_key %s;\n", s.Cert, s.Cert) +
				"\t\tssl_protocols TLSv1.2 TLSv1.3;\n" // before 1.23.4 TLS 1.3 is off by default
		}
		return fmt.Sprintf(`%sdaemon off;
worker_processes 1;
worker_rlimit_nofile %d;
pid %s/nginx.pid;
error_log stderr crit;
events {
	worker_connections %s;
}
stream {
	access_log off;
	proxy_buffer_size %s;
	proxy_timeout 10m;
	server {
		listen %s %s;
%s		proxy_pass %s;
	}
}
`, s.modules, 2*s.Conns+fileSlack, s.Dir, strconv.Itoa(2*s.Conns+fileSlack-50), buffer, s.Listen, kind, more, s.Backend)
	}
}

func nginxArgs(s *Setup) []string { return []string{"-e", "stderr", "-c", configFile(s)} }
