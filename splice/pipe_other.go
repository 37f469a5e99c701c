//go:build !linux

package splice

// pipes is empty where the kernel has no splice(2) between sockets: every flow stays in strategy copy.
type pipes struct{ max int }

func (*pipes) usable() bool            { return false }
func (*pipes) count() (open, used int) { return 0, 0 }
func (*pipes) put(*flow)               {}
func (*pipes) close()                  {}

// transfer is never reached, since no flow turns to strategy pipe.
func (p *Pump) transfer(*Relay, Dir) { panic("splice: transfer without pipes") }
