// Package acl keeps pen's ten access lists and answers, for a list and an address, whether it is let in.
//
// The first entry that matches decides. If none does, the answer is the opposite of the last entry, of whatever kind
// that is; an empty list permits everybody, and so does every list when asked about Unix clients.
//
// Entries are IPv4 addresses with a mask, IPv6 addresses with a prefix length, and countries. An IPv4 entry matches
// if (client & mask) == address, so that one with bits outside its mask never matches. A client with an IPv4-mapped
// IPv6 address is an IPv4 client, to whom the IPv6 entries apply as well.
//
// pen: applies only IPv6 entries to IPv4-mapped clients.
//
// Permits reads an immutable snapshot: it takes no lock, does not allocate, and costs a hash lookup per distinct
// mask in the list, not a comparison per entry. Whoever changes a list pays for the snapshots; see Table.Hold for
// changing much at once.
package acl
