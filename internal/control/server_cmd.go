package control

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
)

// serverSet is `server N key value...`. Unknown keys are ignored with their values; an address that cannot be
// resolved ends the line, with what stood before it in effect.
func serverSet(c *call) {
	if len(c.args) == 0 {
		c.ignored("argument missing")
		return
	}
	n := Atoi(c.args[0])
	if n < 0 {
		c.ignored("there is no server %d", n)
		return
	}
	if err := c.openAuthorities(); err != nil {
		c.err = fmt.Errorf("%s: server %d: %w", c.from, n, err)
		c.ignored("%v; server %d stays as it is", err, n) // not in plain because of a mistake
		return
	}
	var changes []func(*balance.Config)
	change := func(f func(*balance.Config)) { changes = append(changes, f) }
	blacklist, blacklistGiven := 0, false
pairs:
	for i := 1; i+1 < len(c.args); i += 2 {
		key, value := c.args[i], c.args[i+1]
		v := Atoi(value)
		switch key {
		case "acl":
			change(func(s *balance.Config) { s.ACL = v })
		case "address":
			addr, host, path, err := c.serverAddress(value)
			if err != nil {
				c.ignored("address %s: %v", value, err)
				break pairs
			}
			change(func(s *balance.Config) { s.Addr, s.Host, s.Path = addr, host, path })
		case "port":
			if v < 0 || v > 65535 {
				c.ignored("port %s out of range", value)
				v = 0
			}
			change(func(s *balance.Config) { s.Port = uint16(v) })
		case "max":
			change(func(s *balance.Config) { s.Max = v })
		case "hard":
			change(func(s *balance.Config) { s.Hard = v })
		case "blacklist":
			blacklist, blacklistGiven = v, true
		case "weight":
			change(func(s *balance.Config) { s.Weight = v })
		case "prio":
			change(func(s *balance.Config) { s.Prio = v })
		case "tunnel":
			if value != "ipip" && value != noTunnel {
				c.ignored("tunnel %s: want ipip or %s", value, noTunnel)
				continue
			}
			change(func(s *balance.Config) { s.Tunnel = value != noTunnel })
		case "tls", "sni": // serverTLS
		default:
			c.ignored("unknown key '%s'", key)
		}
	}
	var nameless error
	err := c.Service.Update(n, func(s *balance.Config) {
		was := *s
		for _, f := range changes {
			f(s)
		}
		if nameless = serverTLS(c.args, s); nameless != nil {
			*s = was
		}
	})
	if err = errors.Join(err, nameless); err != nil {
		c.ignored("%v", err)
		return
	}
	if blacklistGiven {
		c.Service.SetBlacklist(&c.Settings.Get().Rules, n, time.Duration(blacklist)*time.Second, c.Runtime.Now())
	}
}

// noTunnel is the word for a server that is on the link.
const noTunnel = "off"

// serverAddress is an IP address, with the host that it is of if that was given, or with a slash the path of a Unix
// socket.
func (c *call) serverAddress(s string) (addr netip.Addr, host, path string, err error) {
	if strings.Contains(s, "/") {
		return netip.Addr{}, "", s, nil
	}
	if _, err := netip.ParseAddr(s); err != nil {
		host = s
	}
	addr, err = c.resolve(s)
	return addr, host, "", err
}

// Where is a server's address as pen shows it: 0.0.0.0 for an empty slot, port 1 for a Unix socket.
func Where(s *balance.Config) (addr string, port uint16) {
	switch {
	case s.Path != "":
		return s.Path, 1
	case !s.Addr.IsValid():
		return "0.0.0.0", s.Port // pen: "(unknown address family 0", which it cannot read back
	}
	return s.Addr.String(), s.Port
}

func serverSave(e *Env, s *settings.Settings) []string {
	var lines []string
	for i := range e.Service.Len() {
		t := e.Service.Config(i)
		addr, port := Where(&t)
		line := fmt.Sprintf("server %d acl %d address %s port %d max %d hard %d", i, t.ACL, addr, port, t.Max, t.Hard)
		if s.Rules.Weight {
			line += fmt.Sprintf(" weight %d", t.Weight)
		}
		if s.Rules.Prio {
			line += fmt.Sprintf(" prio %d", t.Prio)
		}
		if t.Tunnel {
			line += " tunnel ipip"
		}
		line += tlsSaved(&t)
		lines = append(lines, line)
	}
	return lines
}

func servers(c *call) {
	c.Runtime.Sync()
	list, direct := []jsonServer{}, c.Runtime.DSR()
	for i := range c.Service.Len() {
		t := c.Service.Config(i)
		addr, port := Where(&t)
		up, down := c.Service.Traffic(i)
		conns := c.Service.Conns(i)
		if direct != nil { // there are no connections
			conns = int(direct.PacketsTo(i))
		}
		c.printf("%d addr %s port %d conn %d max %d hard %d weight %d prio %d sx %d rx %d\n",
			i, addr, port, conns, t.Max, t.Hard, t.Weight, t.Prio, up, down)
		list = append(list, jsonServer{i, addr, int(port), conns, t.Max, t.Hard, t.Weight, t.Prio, up, down,
			c.Service.FailedAt(i) / int64(time.Second), t.TLS.CA})
	}
	c.set("servers", list)
}
