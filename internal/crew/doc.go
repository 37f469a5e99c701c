// Package crew is what the TCP and the UDP side of a service have in common: what both work with ([Config]), and that the
// work is done by workers, one per loop, of which each belongs to that loop's goroutine ([Crew]).
package crew
