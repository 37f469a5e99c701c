package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/sock"
)

// resolveTimeout bounds one look-up of a name.
const resolveTimeout = 10 * time.Second

// parseListen reads where to listen: [host:]port or /path. The default host is any for the balancing listener and
// loopback for the control socket, given as def.
func (d *Daemon) parseListen(spec string, def netip.Addr) (sock.Addr, error) {
	p, err := control.ParsePlace(spec)
	if err != nil || p.Path != "" {
		return sock.Addr{Path: p.Path}, err
	}
	ip := def
	if p.Host != "" {
		if ip, err = d.Resolve(context.Background(), p.Host); err != nil {
			return sock.Addr{}, fmt.Errorf("can't convert address '%s': %w", p.Host, err)
		}
	}
	return sock.Addr{AddrPort: netip.AddrPortFrom(ip, p.Port)}, nil
}

// serverSpec is a server as the command line names it.
type serverSpec struct {
	host string
	conf balance.Config
}

// parseServer reads host[:port[:max[:hard[:weight[:prio]]]]], with brackets around IPv6, or /path[:max...]. What is
// missing is 0, save for the port, which is def.
func parseServer(spec string, def uint16) serverSpec {
	var s serverSpec
	rest := ""
	if r, ok := strings.CutPrefix(spec, "["); ok {
		s.host, rest, _ = strings.Cut(r, "]")
		rest = strings.TrimPrefix(rest, ":")
	} else {
		s.host, rest, _ = strings.Cut(spec, ":")
	}
	if strings.HasPrefix(s.host, "/") {
		s.conf.Path = s.host
	} else {
		port, more, _ := strings.Cut(rest, ":")
		rest = more
		if s.conf.Port = def; port != "" {
			s.conf.Port = servicePort(port)
		}
	}
	words := strings.Split(rest, ":")
	for i, p := range []*int{&s.conf.Max, &s.conf.Hard, &s.conf.Weight, &s.conf.Prio} {
		if i < len(words) {
			*p = control.Atoi(words[i])
		}
	}
	return s
}

// servicePort is a port by number or name. As in pen an unknown name is port 0: the server is never used.
func servicePort(s string) uint16 {
	if n := control.Atoi(s); n > 0 && n < 65536 {
		return uint16(n)
	}
	n, _ := net.LookupPort("ip", s)
	return uint16(n)
}

// Resolve implements control.Runtime: the first address of host, IPv6 only where this machine has IPv6 itself, as
// getaddrinfo(3) with AI_ADDRCONFIG.
func (d *Daemon) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	v6 := hasIPv6()
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() || v6 {
			return a, nil
		}
	}
	return netip.Addr{}, errors.New("only IPv6 addresses, and this machine has none itself")
}

// hasIPv6 reports whether an interface other than loopback has an IPv6 address.
func hasIPv6() bool {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && !n.IP.IsLoopback() {
			return true
		}
	}
	return false
}

// resolveServers looks all names up at the same time and reports all that fail together.
func (d *Daemon) resolveServers(specs []serverSpec) error {
	errs := make([]error, len(specs))
	var wg sync.WaitGroup
	for i := range specs {
		s := &specs[i]
		if s.conf.Path != "" {
			continue
		}
		wg.Go(func() {
			if _, err := netip.ParseAddr(s.host); err != nil {
				s.conf.Host = s.host
			}
			var err error
			if s.conf.Addr, err = d.Resolve(context.Background(), s.host); err != nil {
				errs[i] = fmt.Errorf("unknown or invalid address [%s]: %w", s.host, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
