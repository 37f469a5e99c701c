package balance

// Pick chooses a server for c and takes a place on it, which the caller gives back with Release. It is None if every
// server is out of the question, Emergency if that is what was left.
func (s *Service) Pick(r *Rules, c *Client, now int64) int {
	servers := *s.table.Load()
	i := s.first(servers, r, c, now)
	if i >= 0 && s.try(servers[i], i, r, c, now) {
		return i
	}
	if r.Stubborn {
		return None
	}
	return s.walk(servers, r, c, i, i, now)
}

// PickAbuse is Pick for a client that the access list of the service denies. It is Abuse, or None if the abuse
// server cannot take the client. If no abuse server is configured it is the emergency server as in pen, or None.
func (s *Service) PickAbuse(r *Rules, c *Client, now int64) int {
	switch {
	case s.try(s.abuse, Abuse, r, c, now):
		return Abuse
	case r.Stubborn || s.abuse.target.Load().usable:
		return None
	}
	return s.lastResort(r, c, now)
}

// Next chooses another server for c, and takes a place on it, after the connection to server failed did not come
// about. Start is what Pick said for this client; the walk from failed, index by index around the table, ends there,
// so that each server is tried once, and then the emergency server. It is None if nothing is left, if r is
// stubborn, and after Emergency and Abuse. The caller has released the place on failed.
func (s *Service) Next(r *Rules, c *Client, start, failed int, now int64) int {
	if r.Stubborn || failed < 0 {
		return None
	}
	return s.walk(*s.table.Load(), r, c, start, failed, now)
}

// walk tries the servers after failed until it is back at start, then the emergency server.
func (s *Service) walk(servers []*server, r *Rules, c *Client, start, failed int, now int64) int {
	if start >= 0 {
		for i := following(failed, len(servers)); i != start; i = following(i, len(servers)) {
			if s.try(servers[i], i, r, c, now) {
				return i
			}
		}
	}
	return s.lastResort(r, c, now)
}

func (s *Service) lastResort(r *Rules, c *Client, now int64) int {
	if s.try(s.emergency, Emergency, r, c, now) {
		return Emergency
	}
	return None
}

// following is the index after i in a table of n.
func following(i, n int) int {
	if i++; i < n {
		return i
	}
	return 0
}

// try takes a place on sv, whose index is i, if sv is available, permits c and has one.
func (s *Service) try(sv *server, i int, r *Rules, c *Client, now int64) bool {
	t := sv.target.Load()
	if !t.usable || sv.blacklisted(r, now) {
		return false
	}
	if s.permitter != nil && !s.permitter.Permits(t.ACL, c.Addr) {
		return false
	}
	return sv.take(t, c.Server == i)
}

// first is the initial choice for c, an index or None. Limits and access lists play no part in it, and a remembered
// or hashed server is chosen even if it is blacklisted: failover begins behind it.
func (s *Service) first(servers []*server, r *Rules, c *Client, now int64) int {
	switch {
	case !r.RoundRobin && c.Server >= 0 && c.Server < len(servers):
		return c.Server
	case r.Prio:
		return byPrio(servers, r, now)
	case r.Weight:
		return byWeight(servers, r, now)
	case r.Hash:
		return byHash(len(servers), r, c)
	}
	return s.byTurn(servers, r, now)
}

// byPrio is the available server with the lowest priority number, the first of equals.
func byPrio(servers []*server, r *Rules, now int64) int {
	best, bestPrio := None, 0
	for i, sv := range servers {
		if prio := sv.target.Load().Prio; (best == None || prio < bestPrio) && sv.available(r, now) {
			best, bestPrio = i, prio
		}
	}
	return best
}

// byWeight is the available server with the fewest connections for its weight, the first of equals. Loads are whole
// 256ths, as in pen.
func byWeight(servers []*server, r *Rules, now int64) int {
	best, bestLoad := None, int64(0)
	for i, sv := range servers {
		weight := int64(sv.target.Load().Weight)
		if weight <= 0 {
			continue
		}
		load := 256 * sv.conns.Load() / weight
		if (best == None || load < bestLoad) && sv.available(r, now) {
			best, bestLoad = i, load
		}
	}
	return best
}

// byTurn is round robin: the next available server after the last one that any thread was given. As in pen the
// first turn is that of index 1, and a full server has its turn too: the walk after it finds its neighbour.
func (s *Service) byTurn(servers []*server, r *Rules, now int64) int {
	for {
		last := s.last.Load()
		i := int(last)
		for n := len(servers); ; n-- {
			if n == 0 {
				return None
			}
			i = following(i, len(servers))
			if servers[i].available(r, now) {
				break
			}
		}
		if s.last.CompareAndSwap(last, int64(i)) {
			return i
		}
	}
}
