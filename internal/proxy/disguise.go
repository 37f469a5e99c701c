package proxy

import (
	"net/netip"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/tproxy"
)

// disguise lets s speak to a server from the client's address, if it is asked for: at first from a port that the kernel
// chooses, then from others. The error is [tproxy.ErrRefused].
func (w *Worker) disguise(s *session, server netip.Addr, st *settings.Settings) error {
	client, port := s.addrPort().Addr(), uint16(0)
	switch {
	case s.ports > 0:
		port = w.proxy.Face.Port()
	default:
		as, err := w.proxy.Disguised(client, server, st)
		if err != nil || !as {
			return err
		}
	}
	s.ports++
	w.opts.Bind, w.opts.Transparent = netip.AddrPortFrom(client, port), true
	return nil
}

// otherPort reports whether s, which has had err, is to try another port. Only ports of a client's address can be
// chosen: of our own the kernel has tried all.
func (s *session) otherPort(err error) bool {
	return s.ports > 0 && s.ports < tproxy.Tries && tproxy.Again(err)
}
