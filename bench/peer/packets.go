package peer

import "net/netip"

// Packets is what a load balancer that forwards packets is started with.
type Packets struct {
	Interface string
	VIP       netip.AddrPort
	Servers   []netip.Addr
	UDP       bool
}

// ForwardsPackets reports whether f can do direct server return. Of ours, it is those with a mode: the engine plays no
// part.
func (f *Found) ForwardsPackets() bool {
	return f.Name == Direct || f.Mode != "" || f.Name == "pen-classic"
}

// PacketCommand is the command line of f. It is empty for Direct and Redirect.
func (f *Found) PacketCommand(p *Packets) []string {
	if f.Path == "" {
		return nil
	}
	argv := []string{f.Path, "-f", "-O", "dsr_if " + p.Interface}
	if p.UDP {
		argv = append(argv, "-U")
	}
	if f.Ours {
		argv = append(argv, "-O", "threads 1", "-O", "dsr_mode "+f.Mode)
	}
	argv = append(argv, p.VIP.String())
	for _, s := range p.Servers {
		argv = append(argv, netip.AddrPortFrom(s, p.VIP.Port()).String())
	}
	return argv
}
