package tproxy

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrRefused is the error for a client whose address a server must see, and cannot.
var ErrRefused = errors.New("the server cannot see the client's address, and transparent is strict")

// Face is the address that servers see, for all clients of one service. Its methods may be called by several
// goroutines at a time, and do not block. The zero Face is ready.
type Face struct {
	// Logf takes what an operator must see; set it before the Face is used.
	Logf func(format string, args ...any)

	theirs, ours, refused, ports atomic.Uint64
	told                         atomic.Int64 // when Logf was last called, in seconds since 1970
}

// quiet is the least time between two lines in the log.
const quiet = 10 // seconds

// Stats are the counters of a Face.
type Stats struct {
	Theirs  uint64 // connections from the client's address
	Ours    uint64 // connections from an address of this machine, for want of the client's
	Refused uint64 // connections that were not made, as they would have been from ours
	Ports   uint64 // times that another port was tried
}

// Stats are the counters now.
func (f *Face) Stats() Stats {
	return Stats{Theirs: f.theirs.Load(), Ours: f.ours.Load(), Refused: f.refused.Load(), Ports: f.ports.Load()}
}

// Source reports whether server is to be spoken to from client's address; else it is from one of this machine's. If
// strict there is ErrRefused in place of the latter. A client or server at a Unix socket has no address.
func (f *Face) Source(client, server netip.Addr, strict bool) (theirs bool, err error) {
	switch {
	case possible(client, server):
		f.theirs.Add(1)
		return true, nil
	case strict:
		f.tell("refused", client, server, f.refused.Add(1))
		return false, ErrRefused
	}
	f.tell("connected from our address", client, server, f.ours.Add(1))
	return false, nil
}

// possible reports whether server can be spoken to from client's address. One of the loopback, or of a link, is
// nothing beyond it.
func possible(client, server netip.Addr) bool {
	return client.IsValid() && server.IsValid() && client.Is4() == server.Is4() &&
		client.IsLoopback() == server.IsLoopback() && !client.IsLinkLocalUnicast() && !client.IsUnspecified()
}

// tell says what became of n clients so far, unless something was said a moment ago.
func (f *Face) tell(what string, client, server netip.Addr, n uint64) {
	now, last := time.Now().Unix(), f.told.Load()
	if f.Logf != nil && now-last >= quiet && f.told.CompareAndSwap(last, now) {
		f.Logf("transparent: %d clients %s so far, the last one %s to server %s", n, what, name(client), name(server))
	}
}

func name(a netip.Addr) string {
	if !a.IsValid() {
		return "at a Unix socket"
	}
	return a.String()
}

// Tries is how many ports are tried for one connection, the first of them by the kernel.
const Tries = 8

// Again reports whether err, from binding to a client's address or connecting from there, may be gone with another
// port. It is never the server's fault.
func Again(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE)
}

// Port is another port to try: any of those that need no privilege. The kernel keeps to the range of this machine's own
// connections (net.ipv4.ip_local_port_range), which says nothing about the address of another.
func (f *Face) Port() uint16 {
	f.ports.Add(1)
	return uint16(1024 + rand.IntN(1<<16-1024))
}
