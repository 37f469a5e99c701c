// Package header adds X-Forwarded-Proto and X-Forwarded-For to the HTTP/1 requests of a byte stream (-H).
//
// A [Rewriter] follows the stream of one client as it passes, whatever the sizes of its pieces: request line, header,
// body, next request (RFC 9112). It keeps no text but a started field name, so nothing waits for the end of a header,
// no header is too long, and a connection between requests holds no buffer.
//
//	start ──► method ──► target ──► name ──► value    body, or chunks and trailer
//	 ▲  │        │          │        ▲ │       │            ▲        │
//	 │  └────────┴────┬─────┘        └─┼───────┘            │        │
//	 │                ▼                ▼                    │        │
//	 │        raw: not HTTP/1      blank line ──────────────┘        │
//	 │                             lines are added before it         │
//	 └───────────────────────────────────────────────────────────────┘
//
// Bytes of a protocol that is not HTTP/1 are never held back, as nothing is before a whole request line was seen. From
// the byte on that proves it not to be HTTP/1 (TLS, the HTTP/2 preface, SMTP) the stream is raw and need not be
// looked at any more.
//
// A request that cannot be framed, because it has both Transfer-Encoding and Content-Length, several lengths, folded
// lines, a bare CR or chunk sizes that are no numbers, would let a server find another request inside it than we do.
// Servers are not shared between the connections of different clients, so the only one to gain from that is a client
// who wants the server to see forwarded headers of its own making. In mode [Keep], pen's, it may simply send them, and
// the stream turns raw. In the other modes the server never sees the end of such a request: the stream is refused.
//
// After Upgrade the Rewriter goes on looking for requests, since the server may have declined, as most do when a client
// offers it h2c. What was agreed on instead does not look like a request, and is raw from its first bytes. CONNECT
// makes the stream raw in mode Keep; in the others, where a client could ask for a tunnel only to be left alone, it is
// treated like Upgrade, and HTTP/1 in the clear within the tunnel gets the headers as well.
//
// pen: changes only GET, POST and HEAD, only the first request of each read, only if its header lies in that read
// completely, and anything in a body that looks like a request.
package header
