// Package load is the traffic of the benchmarks: clients that ask and a backend that answers, each one thread around
// one epoll set.
//
// It must never be slower than the proxy it measures, so it makes non-blocking raw system calls, keeps its connections
// in tables indexed by descriptor, and allocates nothing per request. One backend serves every scenario: the first
// eight bytes of a request tell it how long the request is and how long the reply shall be.
//
//	client (Spec)  ──► proxy under test ──►  backend
//	  │ stdin: "g"                             │ stdin: end of file = exit
//	  ▼ stdout: ready, started, stopped, Result ▼ stdout: its address
//
// A group of connections is closed loop (the next request follows the reply) or open loop (requests are due at a fixed
// rate whatever the proxy does). The latency of an open loop counts from the time a request was due, not from the time
// it could be sent, and requests still unanswered at the end count with the time that they have waited: a stalled proxy
// cannot hide behind requests that were never made.
//
// [Serve] and [Generate] need Linux 5.11 (epoll_pwait2). [Copy], the io.Copy baseline, runs everywhere.
package load
