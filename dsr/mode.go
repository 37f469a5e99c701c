package dsr

// Mode is who forwards.
type Mode string

// The modes. Whatever forwards, ARP, neighbour discovery and the tarpit are answered by packet sockets.
const (
	Auto       Mode = "auto"        // TC where it works, else Packet
	Packet     Mode = "packet"      // packet sockets and this process; the default of Options
	TC         Mode = "tc"          // a program at tcx ingress, which keeps every offload; Linux 6.6
	XDP        Mode = "xdp"         // the same in the driver of a physical network card; Linux 5.18
	XDPGeneric Mode = "xdp-generic" // the same before the stack, on any interface; Linux 5.18
)
