// Package ring is the reactor: one Loop per core, one OS thread and one completion queue each.
//
// A Loop speaks in verbs of the size of a proxy, not in system calls: Accept, Connect, Recv, Send, Readable,
// Writable, Close, After, Cancel. A verb submits an operation and returns at once; the outcome arrives as a
// [Completion] at the [Handler] of the operation's [Token], on the loop's own goroutine, never from inside the verb.
//
//	       verbs                              completions
//	proxy ───────► Loop ─── kernel ───► Loop ───────────► Handler.Complete
//	  ▲             one thread, one queue, no locks             │
//	  └─────────────────────────────────────────────────────────┘
//
// The contract that every engine keeps, and that package ringtest checks on each of them:
//
//   - Each submitted operation yields exactly one final completion (More == false), also after Cancel and Close.
//     The multishot verbs, Accept, Recv and Receive, may yield any number of completions with More == true before it.
//   - Completions of one operation keep their order. A completion of a closed socket never reaches a later socket
//     that got the same slot.
//   - Close is itself an operation. It cancels what is pending on the socket; its completion is the last one of that
//     socket, and it is delivered after the descriptor has been closed.
//   - At most one operation of each kind (Accept, Connect, Recv, Receive, Send, Readable, Writable) is pending per
//     socket; the pairs Recv/Readable and Send/Writable exclude each other. Breaking this is a bug in the caller and
//     panics.
//   - Only Post and Stop may be called from other goroutines. All else belongs to the goroutine inside Run (or to
//     the one that will call Run, before it does).
//
// UDP sockets have two verbs of their own, Receive and Transmit, for datagrams come in batches, are forwarded within
// the turn that they arrived in, and nobody waits for one to leave.
//
// A [Buf] is lent: Recv hands one out, whoever holds it gives it to Send (which hands it back in its completion) or
// to Release. An idle socket owns no buffer.
//
// Engines: io_uring and epoll on Linux, kqueue on the BSDs and macOS, portable (package net) everywhere.
package ring
