package peer

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func setup(t *testing.T) *Setup {
	t.Helper()
	return &Setup{
		Listen: netip.MustParseAddrPort("127.0.0.1:2001"), Backend: netip.MustParseAddrPort("127.0.0.1:2000"),
		Conns: 9750, Dir: t.TempDir(), Self: []string{"/bench", "worker"},
	}
}

func find(t *testing.T, name string) Peer {
	t.Helper()
	all := All()
	i := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("no peer %q", name)
	}
	return all[i]
}

func TestCommands(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		config     []string // lines that must stand in the file
		never      string   // and what must not
	}{
		{"direct", "", nil, ""},
		{"pen-uring", "/x -f -r -O engine uring -x 9750 -c 19500 127.0.0.1:2001 127.0.0.1:2000", nil, ""},
		{"pen-portable", "/x -f -r -O engine portable -x 9750 -c 19500 127.0.0.1:2001 127.0.0.1:2000", nil, ""},
		{"pen-classic", "/x -f -r -x 9750 -c 19500 127.0.0.1:2001 127.0.0.1:2000", nil, ""},
		{"iocopy", "/bench worker copy 127.0.0.1:2001 127.0.0.1:2000", nil, ""},
		{
			"haproxy", "/x -db -q -f DIR/proxy.conf",
			[]string{"nbthread 1", "maxconn 9750", "mode tcp", "bind 127.0.0.1:2001 backlog 4096", "server backend 127.0.0.1:2000"}, "splice",
		},
		{
			"haproxy-splice", "/x -db -q -f DIR/proxy.conf",
			[]string{"tune.pipesize 262144", "option splice-request", "option splice-response"}, "splice-auto",
		},
		{
			"nginx", "/x -e stderr -c DIR/proxy.conf",
			[]string{"load_module /m.so;", "worker_processes 1;", "worker_rlimit_nofile 20000;", "proxy_buffer_size 16k;", "listen 127.0.0.1:2001 backlog=4096;", "proxy_pass 127.0.0.1:2000;"}, "64k",
		},
		{"nginx-64k", "/x -e stderr -c DIR/proxy.conf", []string{"proxy_buffer_size 64k;"}, "16k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			f := Found{Peer: find(t, tt.name), Path: "/x", modules: "load_module /m.so;\n"}
			if f.program == "" {
				f.Path = ""
			}
			argv, err := f.Command(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(strings.Join(argv, " "), s.Dir, "DIR"); got != tt.want {
				t.Errorf("command %q, want %q", got, tt.want)
			}
			if tt.config == nil {
				return
			}
			b, err := os.ReadFile(filepath.Join(s.Dir, "proxy.conf"))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(string(b)) {
				lines = append(lines, strings.TrimSpace(line))
			}
			for _, want := range tt.config {
				if !slices.Contains(lines, want) {
					t.Errorf("no line %q in\n%s", want, b)
				}
			}
			if strings.Contains(string(b), tt.never) {
				t.Errorf("%q in\n%s", tt.never, b)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	if f := find(t, "pen-uring").Find("/does/not/exist"); !strings.Contains(f.Missing, "make build") {
		t.Errorf("missing: %q", f.Missing)
	}
	for _, name := range []string{"direct", "iocopy"} {
		if f := find(t, name).Find(""); f.Missing != "" || f.Path != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if f := find(t, "pen-epoll").Find(self); f.Path != self || f.Missing != "" || !strings.Contains(f.Version, "go1.") {
		t.Errorf("our program: %+v", f)
	}
}

func TestFirstNumber(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n", "2.6.12-1+deb12u4"},
		{"nginx version: nginx/1.22.1\n", "1.22.1"},
		{"some program\nof ours", "some program"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := firstNumber(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParseNginx(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, file, missing string }{
		{"inside", "configure arguments: --with-stream --with-stream_ssl_module", "", ""},
		{"loadable", "--modules-path=/m --with-stream=dynamic", "/m/ngx_stream_module.so", ""},
		{"loadable, usual place", "--with-stream=dynamic", "/usr/lib/nginx/modules/ngx_stream_module.so", ""},
		{"without", "--with-stream_ssl_module", "", "nginx is built without the stream module"},
	}
	for _, tt := range tests {
		if file, missing := parseNginx(tt.in); file != tt.file || missing != tt.missing {
			t.Errorf("%s: %q, %q", tt.name, file, missing)
		}
	}
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	for limit, want := range map[uint64]int{0: 0, 500: 0, 1024: 262, 20000: 9750, 1 << 63: 524038} {
		if got := MaxConns(limit); got != want {
			t.Errorf("limit %d: %d connections, want %d", limit, got, want)
		}
	}
}
