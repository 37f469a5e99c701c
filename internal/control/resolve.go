package control

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

const (
	resolveTimeout = 5 * time.Second  // for a host name
	resolveAll     = 30 * time.Second // for all names of a file
	resolvers      = 16               // look-ups at the same time
)

// names are the host names of a plan and what became of them.
type names struct {
	wanted []wanted
	found  map[string]*answer // by host; complete after lookUp
}

// wanted is a place in a plan that names a host.
type wanted struct {
	host string
	from Position
	what string // the command and its argument
	at   int    // line of the plan
}

type answer struct {
	addr netip.Addr
	err  error
}

// want asks for a host to be looked up. An address is its own answer.
func (n *names) want(w wanted) {
	if _, err := netip.ParseAddr(w.host); err == nil {
		return
	}
	n.wanted = append(n.wanted, w)
	n.found[w.host] = &answer{}
}

// lookUp looks all names up at the same time, each once. It blocks, but never for longer than resolveAll.
func (n *names) lookUp(r Runtime) {
	if len(n.found) == 0 {
		return
	}
	all, cancel := context.WithTimeout(context.Background(), resolveAll)
	defer cancel()
	var wg sync.WaitGroup
	slots := make(chan struct{}, resolvers)
	for host, a := range n.found {
		slots <- struct{}{}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(all, resolveTimeout)
			defer cancel()
			a.addr, a.err = r.Resolve(ctx, host)
			<-slots
		})
	}
	wg.Wait()
}

// resolve turns an address, or a name that has been looked up, into an address.
func (n *names) resolve(host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	a := n.found[host]
	if a == nil {
		return netip.Addr{}, errors.New("not looked up")
	}
	return a.addr.Unmap(), a.err
}
