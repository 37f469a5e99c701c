package load

import "net/netip"

// PacketSpec is one measurement of frames that go one way: UDP datagrams of many clients to one address.
type PacketSpec struct {
	Spec
	Out  string // interface that they leave by
	Next string // Ethernet address that they go to first
	In   string // interface whose sent packets are those that arrived: the switch's side of the server's cable
	From netip.Addr
}
