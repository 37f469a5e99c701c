package datagram

import (
	"net/netip"
	"syscall"

	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/tproxy"
)

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
