// Package archtest asserts who may import whom, so that the layers of the house stay layers:
//
//	cmd ─► internal/daemon ─► proxy, control, web … ─► mechanism: splice ─► ring ─► sock   dsr ─► sock   tproxy ─► sock
//	                                              └──► policy:    balance client acl stats accesslog header settings
//
// Mechanism moves bytes and decides nothing; policy decides and touches nothing. The packages that join them are
// the only ones that see both. The rules are a table in the test; it has no other code.
package archtest
