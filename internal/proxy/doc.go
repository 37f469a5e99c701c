// Package proxy is the TCP session: accept, select a server, connect, relay, account. It joins the mechanism (ring,
// splice) to the policy (balance, client, acl), which know nothing of each other.
//
//	accept ──► number ──► client, access list ──► Pick ──► connect ──► relay ──► account ──► close
//	             │ none free                        ▲          │ error, timeout
//	             ▼                                  └── Next ◄─┘
//	           parked until one is
//
// With TLS the handshake with the client comes before the choice, and that with the server is a part of connecting to
// it; from then on the loop of the worker, a tlsloop.Loop, deals in plain text.
//
// A [Proxy] is the service over all loops; a [Worker] is its part on one loop and belongs to that loop's goroutine.
// Sessions live in the worker's slab, without pointers, so that a million of them are nothing to the garbage
// collector. What a session counts lives apart from its sockets (type account) and outlives them: totals are exact
// because every byte is counted once, where it was sent, and handed to the policy when the session ends or when
// [Proxy.Sync] asks.
//
// Limits are global: the number of connections, of connects under way, and of descriptors. A worker that meets one
// stops accepting and parks what it has accepted already; whoever frees a place wakes every parked worker.
package proxy
