package datagram

import (
	"net/netip"
	"syscall"

	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/tproxy"
)

// disguised reports whether s is to speak to the server of l from its client's address. An address that `source` gives
// to the server's family takes precedence. The error is [tproxy.ErrRefused].
func (w *Worker) disguised(s *session, l *lane, st *settings.Settings) (bool, error) {
	server := l.to.AddrPort().Addr()
	if !st.Transparent || st.Source.IsValid() && st.Source.Is4() == server.Is4() {
		return false, nil
	}
	return w.proxy.Face.Source(s.client.AddrPort().Addr(), server, st.TransparentStrict)
}

// openDisguised opens an up-socket that is bound to the address of the client of s, for s alone: at first at a port
// that the kernel chooses, then at others.
func (w *Worker) openDisguised(s *session, l *lane) (int32, error) {
	if w.open >= w.proxy.socksPerWorker() {
		return 0, syscall.EMFILE
	}
	client := s.client.AddrPort().Addr()
	w.opts = sock.DatagramOptions{Bind: netip.AddrPortFrom(client, 0), Peer: l.to.AddrPort(), Transparent: true, Buffer: upBuffer,
		Coalesce: true, Unreachable: true}
	for tries := 1; ; tries++ {
		i, err := w.addUp(nil)
		if err == nil || tries == tproxy.Tries || !tproxy.Again(err) {
			return i, err
		}
		w.opts.Bind = netip.AddrPortFrom(client, w.proxy.Face.Port())
	}
}
