// Package stats turns a picture of a running pen into what people and programs read: the HTML page of -w, web_stats
// and `penctl status`, and the text report that signal USR1 asks for.
//
//	daemon ── fills ──► Snapshot ──► WriteHTML   the page, byte for byte as pen writes it: it is scraped
//	                              └► WriteText   the report, one Write per message
//
// The package is policy: it reads no clock and does no I/O but writing to the writer that it is given.
package stats
