// Package ringtest checks that an engine keeps the contract of package ring, and fakes a loop for the tests of those
// who use one.
//
// [Test] is the suite for engines: it talks to each through real sockets on loopback, with package net at the other
// end, and accounts for every descriptor, goroutine, buffer and operation afterwards.
//
// [Fake] is a loop without a kernel: the test decides which operation completes when, and with what.
package ringtest
