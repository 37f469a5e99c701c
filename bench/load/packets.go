package load

import "net/netip"

// PacketSpec is one measurement of frames that go one way: UDP datagrams, or segments of TCP, of many clients to one
// address.
type PacketSpec struct {
	Spec
	Out  string // interface that they leave by
	Next string // Ethernet address that they go to first
	In   string // interface whose sent packets are those that arrived: the switch's side of the server's cable
	From netip.Addr
	// Overload makes it a search for the lowest rate at which more than OverloadLoss of the frames is lost, in the place
	// of a measurement; the group's own rate is where it begins.
	Overload bool `json:",omitempty"`
}

// OverloadLoss is the share of the frames from which on somebody counts as overloaded.
const OverloadLoss = 0.10
