// Package differential holds the proof of the claim that pen may take the place of the original: a test that gives
// the same generated commands and connections to both, and compares replies, chosen servers, log lines, written
// configurations and status pages. What differs on purpose stands in one table, each row with its place in
// docs/compat.md.
//
// It needs the original program (Debian's package pen), started with -P, since its epoll mode closes clients where it
// should fail over.
package differential
