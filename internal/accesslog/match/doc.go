// Package match puts clients into the logs of web servers behind pen. Such a log names pen as the client of each
// request; pen's own log knows the client, and is searched for an entry with the same server and request.
//
//	penlogd    Cache   the newest of the last N entries with that server and request
//	mergelogs  Merge   the entry nearest in time, in a window that moves through both logs
//
// Both keep their entries in an Index. The package reads and writes only through what it is given.
package match
