// Package testnet is the ground on which tests stand: networks of namespaces, peers that misbehave, and a check that
// a test binary gives back what it took.
//
//	client ──veth── pen ──veth── server        Lab, Host, Link, Bridge: Linux, as root
//	                                           Serve, Reset, Stall, …: every system, on the loopback
//
// A [Lab] consists of network namespaces without names. They are held by descriptors of the test process alone, so
// nothing is left behind even when the test panics or is killed, and labs of parallel tests never meet. Addresses,
// links and routes are made by ip(8).
//
// Labs exist on Linux only; on other systems the package has no such names and the tests that use them carry a
// build constraint. A test starts with [Need], which skips it, with the reason, where the machine lacks something.
// With PEN_TEST_MUST=1 in the environment, as in CI, it fails instead: no test is lost silently.
package testnet
