package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/penlb/pen/internal/settings"
)

// dsrIf names the interface; the path of the packets is chosen once, at start.
func dsrIf(c *call) {
	switch {
	case len(c.args) == 0:
		c.ignored("argument missing")
	case c.args[0] != c.Settings.Get().DSRIf && c.atStart():
		c.Settings.Update(func(s *settings.Settings) { s.DSRIf = c.args[0] })
	}
	c.set("dsr_if", c.Settings.Get().DSRIf)
}

func dsrIfSave(_ *Env, s *settings.Settings) []string { return []string{"dsr_if " + s.DSRIf} }

func dsrAnnounce(c *call) {
	if word := c.arg(0); word != "on" && word != "off" {
		c.ignored("want on or off")
	} else if on := word == "on"; on != c.Settings.Get().DSRAnnounce && c.atStart() {
		c.Settings.Update(func(s *settings.Settings) { s.DSRAnnounce = on })
	}
	c.set("dsr_announce", c.Settings.Get().DSRAnnounce)
}

func dsrAnnounceSave(_ *Env, s *settings.Settings) []string {
	if s.DSRAnnounce {
		return []string{"dsr_announce on"}
	}
	return []string{"dsr_announce off"}
}

// dsrModes are who may forward packets, the default first; package dsr has the same.
var dsrModes = []string{"auto", "tc", "packet", "xdp", "xdp-generic"}

func dsrMode(c *call) {
	if word := c.arg(0); !slices.Contains(dsrModes, word) {
		c.ignored("want %s", strings.Join(dsrModes, ", "))
	} else if word != c.Settings.Get().DSRMode && c.atStart() {
		c.Settings.Update(func(s *settings.Settings) { s.DSRMode = word })
	}
	c.set("dsr_mode", c.Settings.Get().DSRMode)
}

func dsrModeSave(_ *Env, s *settings.Settings) []string { return []string{"dsr_mode " + s.DSRMode} }

func dsrPin(c *call) {
	switch dir := c.arg(0); {
	case dir == "":
		c.ignored("argument missing")
	case dir != c.Settings.Get().DSRPin && c.atStart():
		c.Settings.Update(func(s *settings.Settings) { s.DSRPin = dir })
	}
	c.set("dsr_pin", c.Settings.Get().DSRPin)
}

func dsrPinSave(_ *Env, s *settings.Settings) []string {
	if s.DSRPin == "" {
		return nil
	}
	return []string{"dsr_pin " + s.DSRPin}
}

// network is ADDRESS/LENGTH, or one address, to come from.
func network(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil || a.Zone() != "" {
			return p, fmt.Errorf("'%s': want ADDRESS/LENGTH", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.IsMulticast() || a.Is4In6() || p.Bits() == 0 {
		return p, errors.New("nobody can have addresses of " + s)
	}
	return p.Masked(), nil
}

func checkNetwork(k *check) {
	if k.need(0, "a network") {
		if _, err := network(k.line.args[0]); err != nil {
			k.wrong("%v", err)
		}
	}
}

// dsrSource sets the network of its family.
func dsrSource(c *call) {
	p, err := network(c.arg(0))
	if err != nil {
		c.ignored("%v", err)
		return
	}
	c.Settings.Update(func(s *settings.Settings) {
		if p.Addr().Is4() {
			s.DSRSource4 = p
		} else {
			s.DSRSource6 = p
		}
	})
}

func dsrSourceOff(c *call) {
	c.Settings.Update(func(s *settings.Settings) { s.DSRSource4, s.DSRSource6 = netip.Prefix{}, netip.Prefix{} })
}

func dsrSourceSave(_ *Env, s *settings.Settings) (lines []string) {
	for _, p := range []netip.Prefix{s.DSRSource4, s.DSRSource6} {
		if p.IsValid() {
			lines = append(lines, "dsr_source "+p.String())
		}
	}
	return lines
}

// dsrVIP adds a virtual address to the one that is listened at. Whether it is one, the daemon says.
func dsrVIP(c *call) {
	vip := c.arg(0)
	if vip == "" {
		c.ignored("argument missing")
		return
	}
	c.Settings.Update(func(s *settings.Settings) {
		if !slices.Contains(s.DSRVIPs, vip) { // a file read again adds nothing
			s.DSRVIPs = append(slices.Clip(s.DSRVIPs), vip)
		}
	})
	c.set("dsr_vips", c.Settings.Get().DSRVIPs)
}

func dsrVIPOff(c *call) {
	c.Settings.Update(func(s *settings.Settings) { s.DSRVIPs = nil })
	c.set("dsr_vips", []string{})
}

func dsrVIPSave(_ *Env, s *settings.Settings) []string {
	var lines []string
	for _, v := range s.DSRVIPs {
		lines = append(lines, "dsr_vip "+v)
	}
	return lines
}

func dsrStats(c *call) {
	info := c.Runtime.DSR()
	if info == nil {
		c.ignored("there is no direct server return; see dsr_if")
		return
	}
	for _, s := range info.Servers {
		tunnel := ""
		if s.Via != "" {
			tunnel = fmt.Sprintf(" tunnel via %s mtu %d", s.Via, s.MTU)
		}
		c.printf("server %s mac %s %s packets %d bytes %d%s\n", s.Addr, s.MAC, s.State, s.Packets, s.Bytes, tunnel)
	}
	for _, v := range info.VIPs {
		c.printf("vip %s packets %d bytes %d\n", v.Name, v.Packets, v.Bytes)
	}
	for _, d := range info.Drops {
		c.printf("drop %s %d\n", d.Cause, d.Frames)
	}
	c.printf("answered %d\nlost %d\nreopened %d\n", info.Answered, info.Lost, info.Reopened)
	c.set("dsr", info)
}
