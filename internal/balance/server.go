package balance

import (
	"sync/atomic"
	"time"
)

// server is one slot. What is read on every pick and what is written on every connection lie in different cache
// lines, so that threads which use different servers leave each other alone.
type server struct {
	target atomic.Pointer[target]
	failed atomic.Int64 // pen's status: time of the failure that counts, may lie ahead; 0: none
	_      [48]byte

	conns    atomic.Int64 // places taken
	up, down atomic.Uint64
	_        [40]byte
}

func newServer(c Config) *server {
	sv := &server{}
	sv.target.Store(newTarget(c))
	return sv
}

// available reports whether the server can be tried at all: it is somewhere and not blacklisted. The time of
// blacklisting is read here and not when the server failed, so that a new value counts for running penalties too.
func (sv *server) available(r *Rules, now int64) bool {
	return sv.target.Load().usable && !sv.blacklisted(r, now)
}

func (sv *server) blacklisted(r *Rules, now int64) bool {
	failed := sv.failed.Load()
	return failed != 0 && now-failed < int64(r.Blacklist)
}

// take takes a place unless a limit forbids it. Sticky means that the client is known to be on this server.
func (sv *server) take(t *target, sticky bool) bool {
	if t.Max == 0 {
		sv.conns.Add(1)
		return true
	}
	for {
		n := sv.conns.Load()
		if n >= int64(t.Max) && (!sticky || n >= int64(t.Hard)) {
			return false
		}
		if sv.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (sv *server) release() {
	if sv.conns.Add(-1) < 0 {
		panic("balance: place released twice")
	}
}

// fail notes a failure, but leaves a later time alone.
// pen: overwrites it, which cut a long `server N blacklist T` short when a connection under way failed.
func (sv *server) fail(now int64) {
	for {
		old := sv.failed.Load()
		if old >= now || sv.failed.CompareAndSwap(old, now) {
			return
		}
	}
}

// setBlacklist chooses the time of failure such that the server is back after d.
func (sv *server) setBlacklist(r *Rules, d time.Duration, now int64) {
	if d <= 0 {
		sv.failed.Store(0)
		return
	}
	sv.failed.Store(now + int64(d-r.Blacklist))
}
