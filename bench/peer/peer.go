// Package peer knows the programs that are compared: how to find them, which version they are, and which configuration
// makes each of them a plain TCP proxy with one backend, one thread and no log.
//
// They are the real programs as a distribution ships them. Where a program has a well-known switch that makes it faster
// at something, it takes part twice, as it comes and tuned, so that nobody is beaten by neglect. A program that is not
// there is reported as missing.
package peer

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Peer is a way to get from the client to the backend.
type Peer struct {
	Name  string // for the command line and file formats
	Title string // for readers
	Ours  bool
	// StreamsOnly marks who does not speak UDP.
	StreamsOnly bool
	// PlainOnly marks who does not speak TLS.
	PlainOnly bool
	// Mode is who forwards packets (dsr_mode); not empty for a peer that does nothing else.
	Mode    string
	program string // name in PATH, or path; empty: no program of its own
	version func(path string) string
	config  func(*Setup) string
	argv    func(*Setup) []string // after the program's path
}

// Setup is what a proxy is started with.
type Setup struct {
	Listen, Backend netip.AddrPort
	Conns           int      // connections that it must be able to hold
	UDP             bool     // datagrams, and not connections
	Answers         int      // UDP: datagrams per request, after which a client may be forgotten; 0: unknown
	Cert            string   // file of the certificate and key to speak TLS with; empty: no TLS
	Dir             string   // for its configuration; private to this start
	Self            []string // command that starts a worker of the benchmark itself
	modules         string   // nginx: line that loads the stream module, or nothing
}

// Direct is the name of the peer without a proxy.
const Direct = "direct"

// Redirect is the name of the least program in the kernel that passes frames on.
const Redirect = "redirect"

// All returns the peers in the order in which they run and are shown.
func All() []Peer {
	return []Peer{
		{Name: Direct, Title: "no proxy", PlainOnly: true},
		ours("uring"), ours("epoll"), ours("portable"), spinning("uring", 100),
		forwarder("packet"), forwarder("tc"), forwarder("xdp-generic"),
		{Name: Redirect, Title: "bare tc redirect", Mode: "none"},
		{
			Name: "pen-classic", Title: "pen 0.34", program: "/usr/bin/pen", version: embedded,
			argv: func(s *Setup) []string {
				return s.pen("-f", "-r")
			},
		},
		{Name: "haproxy", Title: "HAProxy", StreamsOnly: true, program: "haproxy", version: told, config: haproxy(""), argv: haproxyArgs},
		{
			Name: "haproxy-splice", Title: "HAProxy, tuned splice", StreamsOnly: true, PlainOnly: true, program: "haproxy", version: told,
			config: haproxy("splice"), argv: haproxyArgs,
		},
		{Name: "nginx", Title: "nginx stream, 16 KB", program: "nginx", version: told, config: nginx("16k"), argv: nginxArgs},
		{Name: "nginx-64k", Title: "nginx stream, 64 KB", program: "nginx", version: told, config: nginx("64k"), argv: nginxArgs},
		{
			Name: "iocopy", Title: "Go io.Copy", StreamsOnly: true, PlainOnly: true,
			argv: func(s *Setup) []string {
				return append(s.Self[1:len(s.Self):len(s.Self)], "copy", s.Listen.String(), s.Backend.String())
			},
		},
	}
}

// pen is the command line of pen, old or new, behind the given options.
func (s *Setup) pen(options ...string) []string {
	if s.UDP {
		options = append(options, "-U")
	}
	if s.Cert != "" {
		options = append(options, "-E", s.Cert)
	}
	return append(options, "-x", strconv.Itoa(s.Conns), "-c", strconv.Itoa(2*s.Conns), s.Listen.String(), s.Backend.String())
}

func ours(engine string, options ...string) Peer {
	return Peer{
		Name: "pen-" + engine, Title: "pen, " + engine, Ours: true, program: "bin/pen", version: built,
		argv: func(s *Setup) []string {
			with := append([]string{"-f", "-r", "-O", "engine " + engine}, options...)
			if s.Answers > 0 {
				with = append(with, "-O", fmt.Sprintf("udp_responses %d", s.Answers))
			}
			return s.pen(with...)
		},
	}
}

// spinning is pen that polls for some time before it sleeps.
func spinning(engine string, microseconds int) Peer {
	p := ours(engine, "-O", fmt.Sprint("spin ", microseconds))
	p.Name, p.Title = "pen-spin", fmt.Sprintf("pen, %s, spin %d", engine, microseconds)
	return p
}

// forwarder is pen for direct server return.
func forwarder(mode string) Peer {
	return Peer{Name: "pen-" + mode, Title: "pen, " + mode, Ours: true, Mode: mode, program: "bin/pen", version: built}
}

// Found is a peer as it is on this machine.
type Found struct {
	Peer
	Path    string // of the program; empty when it has none of its own
	Version string
	Missing string // why it cannot take part; empty: it can
	modules string
}

// Find looks for the program of p. The path pen, if not empty, stands in for our own program.
func (p Peer) Find(pen string) Found {
	f := Found{Peer: p}
	program := p.program
	if p.Ours && pen != "" {
		program = pen
	}
	if program == "" {
		return f
	}
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		f.Missing = err.Error()
		if p.Ours {
			f.Missing += " (make build)"
		}
		return f
	}
	f.Path = path
	f.Version = p.version(path)
	if p.program == "nginx" {
		f.modules, f.Missing = streamModule(path)
	}
	return f
}

// Command writes the configuration of f into s.Dir and returns the command line. It is empty for Direct.
func (f *Found) Command(s *Setup) ([]string, error) {
	if f.argv == nil {
		return nil, nil
	}
	s.modules = f.modules
	if f.config != nil {
		if err := os.WriteFile(configFile(s), []byte(f.config(s)), 0o644); err != nil {
			return nil, err
		}
	}
	path := f.Path
	if path == "" {
		path = s.Self[0]
	}
	return append([]string{path}, f.argv(s)...), nil
}

func configFile(s *Setup) string { return filepath.Join(s.Dir, "proxy.conf") }
