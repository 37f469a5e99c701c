package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/tproxy"
)

// checkTransparent refuses what does not go together with transparent. Whether the system lets us shows once root is
// given up.
func (d *Daemon) checkTransparent() error {
	s := d.store.Get()
	switch {
	case !s.Transparent:
		return nil
	case d.rawPath():
		return errors.New("transparent: leave it out with dsr_if, whose servers see the client's address anyway")
	case s.UDP && s.UDPNoSession:
		return errors.New("transparent: not with udp_nosession, whose clients share a socket; leave one of them out")
	}
	return nil
}

// plan is what the kernel has to know of our listener and servers.
func (d *Daemon) plan() *tproxy.Plan {
	p := &tproxy.Plan{At: d.listening, Six: tproxy.SixHere()}
	for i := range d.servers.Len() {
		if t := d.servers.Target(i); t.Path == "" && t.Addr.IsValid() && t.Port != 0 {
			p.Servers = append(p.Servers, netip.AddrPortFrom(t.Addr, t.Port))
		}
	}
	return p
}

// rulesOnly is what `tproxy_rules` asks for instead of serving: a script that tells the kernel, and what else is wrong.
func (d *Daemon) rulesOnly() error {
	listening, specs := d.listenSpec()
	if d.listening = listening; listening == "" {
		return errUsage
	}
	a, err := d.parseListen(listening, netip.IPv4Unspecified())
	if err != nil {
		return err
	}
	if err := d.addServers(specs, a.AddrPort.Port()); err != nil {
		return err
	}
	p := d.plan()
	for _, line := range p.Wrong() {
		fmt.Fprintf(d.env.Stdout, "# %s\n", strings.ReplaceAll(line, "\n", "\n# "))
	}
	_, err = io.WriteString(d.env.Stdout, p.Up())
	return err
}

// openRules tells the kernel, if that is asked for.
func (d *Daemon) openRules() (err error) {
	if s := d.store.Get(); s.Transparent && s.TransparentSetup {
		d.rules, err = d.plan().Apply()
	}
	if err != nil {
		return fmt.Errorf("tproxy_setup: %w", err)
	}
	if d.rules != nil && d.rules.Coarse() {
		d.Logf("tproxy_setup: the kernel lacks the socket expression of nft: all that servers send from their ports to other " +
			"machines comes to pen; servers that are added later need a restart")
	}
	return nil
}

// TryTransparent implements control.Runtime.
func (d *Daemon) TryTransparent() error {
	err := sock.TryTransparent(false)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		return errors.New("transparent: this system knows no connections from the addresses of others")
	}
	return fmt.Errorf("transparent: connect from the addresses of clients: %w; start pen as root with it, or grant CAP_NET_RAW", err)
}

// Transparent implements control.Runtime.
func (d *Daemon) Transparent() []control.Counter {
	s := d.face.Stats()
	return []control.Counter{
		{Name: "client_address", Value: s.Theirs},
		{Name: "own_address", Value: s.Ours},
		{Name: "refused", Value: s.Refused},
		{Name: "other_ports", Value: s.Ports},
	}
}
