package daemon

import (
	"errors"
	"fmt"

	"github.com/penlb/pen/internal/control"
	"github.com/penlb/pen/internal/sock"
)

// checkTransparent refuses transparent where it cannot work.
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
	return d.TryTransparent()
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
