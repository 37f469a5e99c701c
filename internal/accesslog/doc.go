// Package accesslog knows the lines of pen's log: what they look like in a file, as a datagram to penlogd and as
// JSON, and where a log may go. It is policy: lines are appended to memory of the caller, package sink brings them to
// file or network.
//
//	file      CLIENT EPOCH SERVER first line of the request, at most 100 bytes\n
//	datagram  + CLIENT SERVER first line of the request\n                          at most 1024 bytes in all
//	JSON      {"time":…,"client":…,"server":…,"up":…,"down":…,"seconds":…,"cause":…,"request":…}\n
//
// File and datagram lines are written for each piece of data that arrives from a client, as pen does it; mergelogs
// and penlogd look for their requests. A JSON line is written when the connection ends, and has its sums.
package accesslog
