package proxy

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/accesslog/sink"
	"github.com/penlb/pen/internal/acl"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/client"
	"github.com/penlb/pen/internal/crew"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/ring"
)

// onEachEngine runs f on every engine that works here, and says which do not.
func onEachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, a := range ring.Probe() {
		if !a.OK {
			t.Logf("not on %s: %s", a.Name, a.Reason)
			continue
		}
		t.Run(a.Name, func(t *testing.T) { f(t, a.Name) })
	}
}

// chaosRig is a proxy with real loops on a free port of 127.0.0.1. At the end of the test it must own nothing any more.
type chaosRig struct {
	t         testing.TB
	proxy     *Proxy
	workers   []*Worker
	loops     []ring.Loop
	listeners []*sock.Listener
	log       *sink.Log
	wg        sync.WaitGroup
}

func newChaosRig(t testing.TB, engine string, threads int) *chaosRig {
	t.Helper()
	lists := new(acl.Table)
	st := settings.Default()
	st.ConnectTimeout = time.Minute // a machine that stands still for seconds is no reason to give up a server
	r := &chaosRig{t: t, log: sink.New(threads, t.Logf)}
	r.proxy = New(Config{MaxConns: 4096, Config: crew.Config{Settings: settings.NewStore(st),
		Servers: balance.New(lists), ACL: lists, Clients: client.New(2048), Log: r.log,
		Debugf: func(int, string, ...any) {}, Logf: t.Logf, Dump: func([]byte) {}}})
	a := sock.Addr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}
	for range threads {
		l, err := ring.Open(engine, ring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := sock.Listen(&a, &sock.ListenOptions{ReusePort: true, NoDelay: true})
		if err != nil {
			t.Fatal(err)
		}
		a = ln.Addr()
		r.loops, r.listeners = append(r.loops, l), append(r.listeners, ln)
		r.workers = append(r.workers, r.proxy.NewWorker(l, 64))
	}
	t.Cleanup(r.stop)
	return r
}

// server puts a server into slot i.
func (r *chaosRig) server(i int, a net.Addr) {
	r.t.Helper()
	ap := a.(*net.TCPAddr).AddrPort()
	if err := r.proxy.Servers.Update(i, func(c *balance.Config) { c.Addr, c.Port = ap.Addr().Unmap(), ap.Port() }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *chaosRig) addr() string {
	a := r.listeners[0].Addr()
	return a.String()
}

// run starts to serve.
func (r *chaosRig) run() {
	r.t.Helper()
	r.proxy.Refresh()
	for i, w := range r.workers {
		if err := w.Listen(r.listeners[i]); err != nil {
			r.t.Fatal(err)
		}
		r.wg.Go(func() {
			if err := r.loops[i].Run(); err != nil {
				r.t.Errorf("loop %d: %v", i, err)
			}
		})
	}
}

// waitIdle waits until no connection is left, and checks that nothing else is either.
func (r *chaosRig) waitIdle() {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); r.proxy.Conns() > 0; {
		if time.Now().After(end) {
			r.t.Fatalf("%d connections are left: %+v", r.proxy.Conns(), r.proxy.All())
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.proxy.workers.Each(func(w *Worker) {
		st := w.loop.Stats()
		open, used := w.pump.Pipes()
		if w.slab.n != 0 || w.dirty != 0 || st.Bufs != 0 || used != 0 || st.Socks != len(w.listeners) || st.Timers != 0 {
			r.t.Errorf("worker %d still has %d sessions, dirty %d, %d pipes (%d used), loop %+v", w.index, w.slab.n,
				w.dirty, open, used, st)
		}
	})
	if n := r.proxy.pending.Load(); n != 0 {
		r.t.Errorf("%d connects under way", n)
	}
}

func (r *chaosRig) stop() {
	for _, l := range r.loops {
		l.Stop()
	}
	r.wg.Wait()
	for i, w := range r.workers {
		w.Close()
		r.listeners[i].Close()
	}
	r.log.Close()
}
