// Package client remembers who was served, by which server, how often and how much: the table behind pen's client
// tracking, `recent` and the clients on the status page. It reads no clock and opens nothing.
//
// A client is an IP address; all Unix clients are one. Finding, storing and forgetting are O(1). When the table is
// full, the client that was used least recently makes room; an expired one makes room before the table grows.
//
//	slab    [entry][entry][entry] …       chunks without pointers, allocated as they are needed, never moved
//	             ▲      ▲
//	shard    buckets of a hash table,     each with its own lock, as are the entries it holds
//	         list from most to least recently used
//
// Up to 4096 clients live in a single shard, and "least recently" is exact. A larger table has 32 shards by the hash
// of the address, and it is exact in each of them: the client that goes is among the oldest, not always the oldest.
// No lock is held for longer than a few dozen nanoseconds, except by Grow.
//
// Every now is in nanoseconds since 1970, on a clock that does not step; small differences between threads do no harm.
package client
