package proxy

import (
	"net/netip"
	"time"

	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// idlers keeps connections open towards the servers that serve no client, as the command of that name asks for: some
// services are slow to get going, some firewalls forget who does not talk. They belong to the first worker. What
// arrives on them is thrown away, and one that ends is made again after a pause.
type idlers struct {
	all  []idler
	open int    // connected
	gen  uint32 // given last
}

type idler struct {
	sock   ring.Sock // 0: none
	server int
	gen    uint32 // tells its completions from those of earlier ones in its place
	timer  ring.Timer
	up     bool
}

// retryIdler is the pause before a lost idler is made again.
const retryIdler = time.Second

func (is *idlers) newGen() uint32 { is.gen++; return is.gen }

func (id *idler) token(i int) ring.Token {
	return ring.NewToken(classIdler, uint64(id.gen&genMask)<<32|uint64(i))
}

// setIdlers makes or ends idlers until there are as many as the settings say.
func (w *Worker) setIdlers(st *settings.Settings) {
	want := min(st.Idlers, w.proxy.MaxConns/2) // the other half is for clients
	for len(w.idlers.all) > want {
		i := len(w.idlers.all) - 1
		w.endIdler(i)
		w.idlers.all = w.idlers.all[:i]
	}
	for len(w.idlers.all) < want {
		w.idlers.all = append(w.idlers.all, idler{gen: w.idlers.newGen()})
		w.startIdler(len(w.idlers.all)-1, st)
	}
	w.proxy.idlers.Store(int32(w.idlers.open))
}

// startIdler connects idler i to the server whose turn it is.
func (w *Worker) startIdler(i int, st *settings.Settings) {
	id := &w.idlers.all[i]
	rules := balance.Rules{RoundRobin: true, Blacklist: st.Rules.Blacklist}
	w.who = balance.Client{Server: balance.None}
	id.server = w.proxy.Servers.Pick(&rules, &w.who, w.now())
	if id.server != balance.None {
		t := w.proxy.Servers.Target(id.server)
		w.addr = sock.Addr{AddrPort: netip.AddrPortFrom(t.Addr, t.Port), Path: t.Path}
		w.prepare(st)
		s, err := w.loop.Connect(&w.addr, &w.opts, id.token(i))
		if err == nil {
			id.sock = s
			id.timer = w.loop.After(connectTimeout(st), id.token(i))
			return
		}
		w.proxy.Servers.Release(id.server)
	}
	id.timer = w.loop.After(retryIdler, id.token(i))
}

// endIdler gives up idler i.
func (w *Worker) endIdler(i int) {
	id := &w.idlers.all[i]
	id.gen = w.idlers.newGen() // what is still to come is not for the next one
	w.loop.StopTimer(id.timer)
	id.timer = 0
	if id.up {
		id.up = false
		w.idlers.open--
	}
	if id.sock != 0 {
		w.proxy.Servers.Release(id.server)
		w.loop.Close(id.sock, ring.NewToken(classOrphan, 0))
		id.sock = 0
	}
	w.proxy.idlers.Store(int32(w.idlers.open))
}

// idler takes the completions of idlers.
func (w *Worker) idler(c *ring.Completion) {
	if c.Buf != 0 {
		w.loop.Release(c.Buf)
	}
	v := c.Token.Value()
	i := int(uint32(v))
	if i >= len(w.idlers.all) || w.idlers.all[i].gen&genMask != uint32(v>>32) {
		return // one that was given up
	}
	id := &w.idlers.all[i]
	switch {
	case c.Op == ring.OpTimer && id.sock == 0:
		id.timer = 0
		w.startIdler(i, w.proxy.Settings.Get())
	case c.Op == ring.OpConnect && c.Err == 0:
		if begun, err := w.greet(id.sock, id.server, id.token(i)); !begun {
			w.idlerGreeted(i, err)
		}
	case c.Op == ring.OpRecv && c.N > 0:
	case c.Op == ring.OpRecv: // ended by the server
		w.againIdler(i)
	default: // refused, or timed out
		w.failIdler(i)
	}
}

// idlerSecured takes the outcome of a TLS handshake of the idler with token t, which has not been given up: that would
// have closed its socket.
func (w *Worker) idlerSecured(t ring.Token, err error) {
	w.idlerGreeted(int(uint32(t.Value())), err)
}

// idlerGreeted counts idler i, which can speak with its server, or cannot for err.
func (w *Worker) idlerGreeted(i int, err error) {
	if err != nil {
		w.failIdler(i)
		return
	}
	id := &w.idlers.all[i]
	w.loop.StopTimer(id.timer)
	id.timer = 0
	id.up = true
	w.idlers.open++
	w.proxy.idlers.Store(int32(w.idlers.open))
	w.loop.Recv(id.sock, id.token(i))
}

// failIdler gives idler i up for a fault of its server.
func (w *Worker) failIdler(i int) {
	w.proxy.Servers.Fail(w.idlers.all[i].server, w.now())
	w.againIdler(i)
}

// againIdler gives idler i up, until after a pause.
func (w *Worker) againIdler(i int) {
	w.endIdler(i)
	id := &w.idlers.all[i]
	id.timer = w.loop.After(retryIdler, id.token(i))
}
