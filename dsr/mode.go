package dsr

// Mode is who forwards.
type Mode string

// The modes. Whatever forwards, ARP, neighbour discovery and the tarpit are answered by packet sockets.
const (
	Auto       Mode = "auto"        // TC where it works, else Packet
	Packet     Mode = "packet"      // packet sockets and this process; the default of Options
	TC         Mode = "tc"          // a program at tcx or clsact ingress, which keeps every offload
	XDP        Mode = "xdp"         // the same in the driver of a physical network card; Linux 5.18
	XDPGeneric Mode = "xdp-generic" // the same before the stack, on any interface; Linux 5.18
)

// Mode is who forwards now: a mode other than Auto.
func (e *Engine) Mode() Mode {
	m, _ := e.forwards()
	return m
}

func (e *Engine) forwards() (Mode, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nic.mode(&e.config)
}
