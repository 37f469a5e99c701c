package balance

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Service is a table of servers with the same task, and its emergency and abuse servers. All methods may be called
// from any goroutine. Those that take an index also take Emergency and Abuse; any other index outside the table
// panics, except in Update.
type Service struct {
	// constant after New
	permitter        Permitter
	emergency, abuse *server

	// atomic
	table atomic.Pointer[[]*server] // replaced when it grows; elements below its length never change
	last  atomic.Int64              // index that round robin chose last

	mu sync.Mutex // held while the table or a server's target is replaced
}

// New is a service without servers. A nil p permits everybody.
func New(p Permitter) *Service {
	s := &Service{permitter: p, emergency: newServer(Config{}), abuse: newServer(Config{})}
	s.table.Store(&[]*server{})
	return s
}

// Len is the number of slots in the table, used or not. Emergency and Abuse do not count.
func (s *Service) Len() int { return len(*s.table.Load()) }

// Config is a copy of the present configuration of server i.
func (s *Service) Config(i int) Config { return s.at(i).target.Load().Config }

// Target is the present configuration of server i, shared: it must not be changed. Update replaces it.
func (s *Service) Target(i int) *Config { return &s.at(i).target.Load().Config }

// Update lets f change a copy of the configuration of server i, which then replaces the present one. The table
// grows up to i; the slots between are unused until they are updated themselves. Connections, traffic and
// blacklisting of the server stay as they are. It fails if i is not below MaxServers. f must not call Update.
func (s *Service) Update(i int, f func(*Config)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i >= MaxServers || i < Abuse || i == None {
		return fmt.Errorf("server %d: out of range 0 to %d", i, MaxServers-1)
	}
	s.grow(i + 1)
	sv := s.at(i)
	c := sv.target.Load().Config
	f(&c)
	sv.target.Store(newTarget(c))
	return nil
}

// grow makes the table at least n long. Appending past the length that readers see does not disturb them.
func (s *Service) grow(n int) {
	t := *s.table.Load()
	if len(t) >= n {
		return
	}
	for len(t) < n {
		t = append(t, newServer(Config{}))
	}
	s.table.Store(&t)
}

func (s *Service) at(i int) *server {
	switch i {
	case Emergency:
		return s.emergency
	case Abuse:
		return s.abuse
	}
	return (*s.table.Load())[i]
}

// Release gives back a place that Pick, PickAbuse or Next took on server i. It panics if there is none.
func (s *Service) Release(i int) { s.at(i).release() }

// Fail blacklists server i, from now on and for r.Blacklist of whoever asks, after a connect error or timeout.
func (s *Service) Fail(i int, now int64) { s.at(i).fail(now) }

// SetBlacklist blacklists server i for d from now; zero lifts a running penalty. As in pen the end moves when
// Rules.Blacklist changes later.
func (s *Service) SetBlacklist(r *Rules, i int, d time.Duration, now int64) {
	s.at(i).setBlacklist(r, d, now)
}

// FailedAt is pen's status of server i: the time of its last failure in nanoseconds since 1970, which
// SetBlacklist moves and may put in the future; or 0.
func (s *Service) FailedAt(i int) int64 { return s.at(i).failed.Load() }

// Available reports whether server i is in use and not blacklisted. It says nothing about limits and access lists.
func (s *Service) Available(r *Rules, i int, now int64) bool { return s.at(i).available(r, now) }

// Blacklisted reports whether server i is blacklisted, be it in use or not.
func (s *Service) Blacklisted(r *Rules, i int, now int64) bool { return s.at(i).blacklisted(r, now) }

// Conns is the number of places taken on server i.
func (s *Service) Conns(i int) int { return int(s.at(i).conns.Load()) }

// AddTraffic counts bytes sent to server i (up) and received from it (down).
func (s *Service) AddTraffic(i int, up, down uint64) {
	sv := s.at(i)
	sv.up.Add(up)
	sv.down.Add(down)
}

// Traffic is the number of bytes sent to server i and received from it so far.
func (s *Service) Traffic(i int) (up, down uint64) {
	sv := s.at(i)
	return sv.up.Load(), sv.down.Load()
}
