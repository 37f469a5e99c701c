package balance

import "time"

// Rules say how servers are selected; each is a flag or command of pen.
type Rules struct {
	RoundRobin bool          // -r: no client tracking
	Hash       bool          // -h
	Stubborn   bool          // -s: no failover
	Weight     bool          // -W
	Prio       bool          // prio
	Blacklist  time.Duration // -b: how long a failed server is left alone
}
