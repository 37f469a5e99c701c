package control

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Place is where to listen, as written: a path, or a port on a host that may still have to be looked up.
type Place struct {
	Path string // not empty: a Unix socket
	Host string // empty: the default address
	Port uint16
}

// ParsePlace takes [host:]port or /path apart. The last colon splits; IPv6 addresses may stand in brackets. The port
// may be the name of a service.
func ParsePlace(spec string) (Place, error) {
	if strings.Contains(spec, "/") {
		return Place{Path: spec}, nil
	}
	host, port := splitHost(spec)
	n, err := strconv.Atoi(port)
	if err != nil {
		n, _ = net.LookupPort("tcp", port)
	}
	if n < 1 || n > 65535 {
		return Place{}, fmt.Errorf("port %q out of range: want 1 to 65535 or the name of a service, in %q", port, spec)
	}
	return Place{Host: host, Port: uint16(n)}, nil
}

// splitHost takes "host:port", "[v6]:port", "v6:port" (the last colon splits) or "port" apart.
func splitHost(spec string) (host, port string) {
	if rest, ok := strings.CutPrefix(spec, "["); ok {
		if h, p, ok := strings.Cut(rest, "]:"); ok {
			return h, p
		}
	}
	i := strings.LastIndexByte(spec, ':')
	return spec[:max(i, 0)], spec[i+1:]
}

// place turns spec into what the Runtime listens at; the address is invalid for a Unix socket.
func (c *call) place(spec string) (netip.AddrPort, error) {
	p, err := ParsePlace(spec)
	if err != nil || p.Path != "" {
		return netip.AddrPort{}, err
	}
	ip := netip.IPv4Unspecified()
	if p.Host != "" {
		if ip, err = c.resolve(p.Host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("can't convert address '%s': %w", p.Host, err)
		}
	}
	return netip.AddrPortFrom(ip, p.Port), nil
}

// listen moves the listener. What cannot be a place ended pen, and ends it on the command line; at run time, and where
// only the port is taken, the old listener stays.
func listen(c *call) {
	if len(c.args) > 0 {
		at, err := c.place(c.args[0])
		if err != nil {
			c.err = fmt.Errorf("%s: listen: %w", c.from, err)
		} else {
			err = c.Runtime.Listen(c.args[0], at)
		}
		if err != nil {
			c.ignored("%v", err)
		}
	}
	c.show("listen", c.Runtime.ListenSpec(), "%s\n")
}

// listenPath is the file that `listen` touches.
func listenPath(_ *Env, args []string) string {
	if len(args) == 0 || !strings.Contains(args[0], "/") {
		return ""
	}
	return args[0]
}
