// Package balance decides which server gets a client: selection, failover, limits and blacklisting as pen has them,
// and the counts that these need. It is policy only: it opens nothing, and reads no clock.
//
//	Pick:  remembered server ─► prio ─► weight ─► hash ─► round robin      the first that applies chooses
//	          │ blacklisted, full, or its access list says no
//	          ▼
//	       index+1, index+2 … around the table ─► Emergency ─► None
//	          ▲
//	Next:     └ the server that was picked did not answer
//
// A server has places. Pick and Next take one for their caller, atomically, so that a limit is never exceeded, not
// even by a burst; Release gives it back. A client that is refused changes no count.
//
// Any number of threads may pick at the same time: they share atomics and immutable snapshots, take no lock and
// allocate nothing. A lock orders those who change the table. The table grows and never shrinks: a server that is
// taken away leaves an unused slot, so that an index means one server for as long as the process lives.
//
// Every now is in nanoseconds since 1970, on a clock that does not step.
package balance
