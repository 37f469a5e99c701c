// Package penlogd is the program penlogd: it receives pen's log and the logs of the web servers behind pen as
// datagrams, and writes one log, in which each line of a web server names the client that pen saw.
//
//	pen     ── + client server request ──►┐
//	                                      ├─► UDP port ─► match.Cache ─► file or stdout
//	penlog  ── a line of a web server ───►┘
//
// Whoever can send to the port can write to the log; keep it to trusted networks.
package penlogd
