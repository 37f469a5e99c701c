package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/penlb/pen/internal/sock"
)

// openListeners opens the balancing listener at spec: one socket per loop where the system can share a port among
// them, else one for all.
func (d *Daemon) openListeners(spec string) (sock.Addr, error) {
	a, err := d.parseListen(spec, netip.IPv4Unspecified())
	if err != nil {
		return a, err
	}
	if d.udp != nil {
		return a, d.udp.open(&a)
	}
	ls, err := d.listenAll(&a)
	if err != nil {
		return a, err
	}
	d.listeners = ls
	return a, nil
}

func (d *Daemon) listenAll(a *sock.Addr) (ls []*sock.Listener, err error) {
	o := &sock.ListenOptions{Backlog: d.store.Get().ListenQueue, ReusePort: true, NoDelay: true}
	n := len(d.loops)
	if a.IsUnix() || !sock.CanReusePort {
		n = 1
	} else if sock.InUse(a) {
		d.Logf("another process listens on %s as well: the kernel shares the connections among us", a)
	}
	for range n {
		l, err := sock.Listen(a, o)
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			return nil, bindError(a, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// bindError adds pen's words and a remedy to an error of sock.Listen.
func bindError(a *sock.Addr, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "; another program has the port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "; this machine has no such address"
	case errors.Is(err, syscall.EACCES) && !a.IsUnix():
		remedy = "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
	}
	return fmt.Errorf("can't bind local address: %w%s", err, remedy)
}

// Listen implements control.Runtime. Before the loops run it only notes the address. Later it opens the new
// listeners before it closes the old ones; the sessions stay.
func (d *Daemon) Listen(spec string, at netip.AddrPort) error {
	if !d.serving.Load() {
		d.listening = spec
		return nil
	}
	if spec == d.listening {
		return nil
	}
	if d.direct != nil {
		vip, err := d.parseVIP(spec)
		if err == nil {
			err = d.direct.listen(vip)
		}
		if err == nil {
			d.listening = spec
		}
		return err
	}
	a := sock.Addr{AddrPort: at}
	if !at.IsValid() {
		a.Path = spec
	}
	if d.udp != nil {
		if err := d.udp.move(&a); err != nil {
			return err
		}
		d.listening = spec
		return nil
	}
	ls, err := d.listenAll(&a)
	if err != nil {
		return err
	}
	old := d.listeners
	var wg sync.WaitGroup
	for i, w := range d.workers {
		wg.Add(1)
		if !d.loops[i].Post(func() {
			if err := w.Listen(ls[i%len(ls)]); err != nil {
				d.Logf("listen %s on loop %d: %v", &a, i, err)
			}
			w.Unlisten(old[i%len(old)], wg.Done)
		}) {
			wg.Done()
		}
	}
	wg.Wait()
	for _, l := range old {
		l.Close()
	}
	d.listeners, d.listening = ls, spec
	return nil
}

// ListenSpec and ControlSpec implement control.Runtime.
func (d *Daemon) ListenSpec() string { return d.listening }

// ControlSpec is empty when the control socket was refused.
func (d *Daemon) ControlSpec() string {
	if d.ctlSock == nil {
		return ""
	}
	return d.opts.control
}

// SettingsChanged implements control.Runtime.
func (d *Daemon) SettingsChanged() {
	if d.serving.Load() {
		d.refreshLog()
		d.flows().Refresh()
		if d.direct != nil {
			d.direct.refresh()
		}
		d.refreshTLS()
		d.tune()
	}
}
