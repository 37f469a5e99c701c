// Package tlsloop is a loop whose sockets may speak TLS, as a server or as a client, with crypto/tls.
//
// A [Loop] is a [ring.Loop] around another one. [Loop.Secure] makes an accepted socket of it a TLS connection,
// [Loop.SecureClient] one that has been connected; from then on Recv lends plain text, Send takes plain text, Shutdown
// says close_notify and Close flushes it. Whoever moves bytes by the verbs of a loop, such as package splice in copy,
// need not know. All other sockets pass through untouched.
//
//	         Recv, Send                       Recv, Send
//	relay ◄────────────► Loop ── crypto/tls ──► wire ◄────────────► engine
//	        plain text                        records
//
// The handshake cannot be interrupted, so it runs on a goroutine, which the loop feeds with what arrives and whose
// output the loop sends; the goroutine never touches the socket. As a server it begins when the whole ClientHello is
// there, so that a client that says nothing costs no goroutine; as a client it speaks first, and begins at once. At most
// as many handshakes as [Slots] has use a processor at a time; one that waits for its peer holds no slot, so peers that
// never finish starve nobody.
//
// Then the loop itself drives crypto/tls: when no record is complete, the wire answers a temporary error, after which
// crypto/tls can go on later, and all records that one Send makes leave together. (One write for each record of 16 KB
// costs two thirds more processor time on bulk.) An idle connection holds what crypto/tls keeps and no buffer.
//
// The end of the peer's stream is close_notify or, as crypto/tls has it, a FIN between two records.
package tlsloop
