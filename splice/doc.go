// Package splice moves bytes between two sockets of one loop: both directions, half-close, back-pressure, counts.
//
// A [Relay] is the state of one proxied connection, a plain value without pointers that its session embeds; a [Pump]
// is what the relays of one loop share. Each direction is a flow with its own strategy:
//
//	copy   Recv lends a buffer, Send hands it back. The cheapest way for messages: one recv(2) and one send(2).
//	pipe   splice(2) from the socket into a pipe and from the pipe into the other socket, inline on the loop. The
//	       cheapest way for bulk: the bytes never enter user space. Linux, engines with descriptors.
//
//	          ┌──────────── flow Up ────────────►┐
//	client ── down                               up ── server
//	          └◄─────────── flow Down ───────────┘
//
// A flow starts in copy and turns to pipe after a few completely full buffers, since only bulk fills them; it turns
// back after a run of small splices. IORING_OP_SPLICE is never used: the kernel punts each one to a worker thread.
//
// Back-pressure: a flow that cannot send holds a bounded number of buffers, or one pipe, and stops reading, so TCP's
// window closes. Buffers and pipes are held only while bytes are inside them; an idle relay owns neither.
//
// End of stream is relayed as shutdown(SHUT_WR) once all bytes before it were sent. An error while sending ends that
// flow only: what the other side has still to say is delivered, as with an HTTP server that answers 413 and closes
// while the client is still sending. An error while receiving ends both, after what was received has been sent.
package splice
