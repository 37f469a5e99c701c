package stats

// Direct is how direct server return goes.
type Direct struct {
	Servers  []DirectServer `json:"servers"`
	VIPs     []DirectVIP    `json:"vips"`
	Drops    []DirectDrop   `json:"drops"`    // causes that have occurred
	Answered uint64         `json:"answered"` // frames of our own: ARP, neighbour discovery, tarpit
	Lost     uint64         `json:"lost"`     // frames that the kernel had no room for
	Reopened uint64         `json:"reopened"` // rings of threads that a frame had stopped

	// Packets are those that slot i of the server table has got, whatever addresses it had: where pen has connections.
	Packets []uint64 `json:"-"`
}

// DirectServer is a server by its address. It stays, without a slot of the table, as long as it has clients.
type DirectServer struct {
	Addr    string `json:"address"`
	MAC     string `json:"mac"`           // 00:00:00:00:00:00 until it has answered
	State   string `json:"state"`         // alive, dead, or leaving: it only keeps the clients that it has
	Via     string `json:"via,omitempty"` // of a tunnel: the router, whose Ethernet address MAC is
	MTU     int    `json:"mtu,omitempty"` // of a tunnel: longest packet that goes through
	Packets uint64 `json:"packets"`       // to it; what it answers passes us by
	Bytes   uint64 `json:"bytes"`
}

// DirectVIP is a virtual address, or a port of one.
type DirectVIP struct {
	Name    string `json:"vip"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// DirectDrop is how many frames were dropped for one cause.
type DirectDrop struct {
	Cause  string `json:"cause"`
	Frames uint64 `json:"frames"`
}

// PacketsTo is how many packets slot i of the server table has got. It is 0 for a slot that is new.
func (d *Direct) PacketsTo(i int) uint64 {
	if i >= len(d.Packets) {
		return 0
	}
	return d.Packets[i]
}

var (
	directServerHead = []string{"server", "mac", "state", "packets", "bytes"}
	directVIPHead    = []string{"virtual address", "packets", "bytes"}
	directDropHead   = []string{"dropped because", "frames"}
)

// direct is the part of the status page that pen did not have.
func (p page) direct(d *Direct) {
	p.text("<h2>Direct server return</h2>Frames: ")
	p.number(d.Answered)
	p.text(" answered, ")
	p.number(d.Lost)
	p.text(" lost; rings reopened: ")
	p.number(d.Reopened)
	p.text("<p>")
	p.table(directVIPHead)
	for i := range d.VIPs {
		v := &d.VIPs[i]
		p.text("<tr>\n")
		p.str(v.Name)
		p.uint(v.Packets)
		p.uint(v.Bytes)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
	p.table(directServerHead)
	for i := range d.Servers {
		v := &d.Servers[i]
		p.text("<tr>\n")
		p.str(v.Addr)
		p.str(v.MAC)
		p.str(v.State)
		p.uint(v.Packets)
		p.uint(v.Bytes)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
	p.table(directDropHead)
	for i := range d.Drops {
		v := &d.Drops[i]
		p.text("<tr>\n")
		p.str(v.Cause)
		p.uint(v.Frames)
		p.text("</tr>\n")
	}
	p.text("</table>\n")
}
