package sock

import (
	"net/netip"
	"syscall"
)

// MaxDatagram is the memory that one datagram, or one train of them, needs at most: what UDP carries over IP.
const MaxDatagram = 1 << 16

// DatagramOptions say how a UDP socket is opened. What the system lacks is left out, except for the addresses.
type DatagramOptions struct {
	// Bind is the local address. With port 0 the kernel chooses a port of that address; the socket should name its
	// address then, for the ports of the unspecified address are shared by all sockets of the machine.
	Bind netip.AddrPort
	// Peer is the only one that the socket talks to (connect(2)); invalid: anybody.
	Peer netip.AddrPort
	// Buffer is the least size of the receive buffer in bytes. More than net.core.rmem_max (8 KB of overhead per
	// datagram included) takes CAP_NET_ADMIN; without it the limit is what one gets. 0: the system's default.
	Buffer int
	// ReusePort lets several sockets share the address, each with a queue of its own, as for [ListenOptions].
	ReusePort bool
	// Coalesce lets the kernel hand over trains: datagrams of one sender, of one size, one behind the other
	// (UDP_GRO, Linux 5.0).
	Coalesce bool
	// Transparent lets Bind be an address of another machine, see [SetTransparent].
	Transparent bool
	// Unreachable asks to be told which peers cannot be reached (IP_RECVERR, Linux).
	Unreachable bool
}

// six reports whether the socket is one of IPv6.
func (o *DatagramOptions) six() bool { return !o.Bind.Addr().Is4() }

// tellsLocal reports whether the address that a datagram was sent to has to be asked for: on the wildcard.
func (o *DatagramOptions) tellsLocal() bool { return o.Bind.Addr().IsUnspecified() }

// Datagram is one datagram, or a train of them.
type Datagram struct {
	Data []byte
	// Remote is who sent it or who is to get it; none on a socket with a Peer, towards it.
	Remote Endpoint
	// Local is the address, without port, that it was sent to or shall come from. It is none where the socket is
	// bound to one, and where the system does not tell.
	Local Endpoint
	// Segment is the size of each datagram of a train but the last, which may be shorter; 0: Data is one datagram.
	Segment int
	// Err is not 0 where this is no datagram but the news that Remote could not be reached, for the reason given.
	Err syscall.Errno
}

// Count is the number of datagrams in d.
func (d *Datagram) Count() int {
	if d.Segment == 0 || len(d.Data) <= d.Segment {
		return 1
	}
	return (len(d.Data) + d.Segment - 1) / d.Segment
}

// slotStride is from one slot of a batch to the next: some cache lines, an odd number, more than needed, or the beginnings
// of all of them would compete for the same few places of the cache (2 % of what 1,000 clients cost).
const slotStride = MaxDatagram + 4096 + 13*64

// batchLen is how many datagrams wait in a batch at most. At 64 KB each that is 4 MB of addresses, of which only the
// pages are memory that a datagram has touched.
const batchLen = 64

// Batch is the memory in which datagrams are received, and from which they are sent on without being copied. It serves
// any number of sockets, one after the other, from one goroutine.
//
// What Recv has returned is valid until the next Reset, which Recv calls by itself when no memory is left. So whoever
// takes a datagram sends it at once (Send only notes it) or forgets it.
type Batch struct {
	mem   []byte
	used  int // slots
	got   [batchLen]Datagram
	queue []outgoing
	plain [256]refusal // destinations that take no trains, by hash

	troubled []int // see Troubled

	// Sent and Lost count datagrams that the kernel has taken, and those that it has not: no room, no route.
	Sent, Lost uint64

	sys batchSys
}

// outgoing is a datagram that is to be sent.
type outgoing struct {
	fd  int
	six bool
	Datagram
}

// refusal is that trains of datagrams of size bytes and more are refused on the way to a host; 0: of none.
type refusal struct {
	host Endpoint
	size int
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	b := &Batch{mem: make([]byte, batchLen*slotStride), queue: make([]outgoing, 0, batchLen)}
	b.init()
	return b
}

func (b *Batch) slot(i int) []byte {
	at := i * slotStride
	return b.mem[at : at+MaxDatagram : at+MaxDatagram]
}

// room makes sure that there is a free slot, and yields the first and how many up to max.
func (b *Batch) room(max int) (first, n int) {
	if b.used == batchLen {
		b.Reset()
	}
	return b.used, min(max, batchLen-b.used)
}

// Send notes that d, whose Data is in b, is to leave on fd, a socket of IPv6 if six. It is sent by the next Flush,
// after what was noted before.
func (b *Batch) Send(fd int, six bool, d *Datagram) {
	if len(b.queue) == cap(b.queue) {
		b.Flush()
	}
	b.queue = append(b.queue, outgoing{fd, six, *d})
}

// Pending reports whether Flush has anything to send.
func (b *Batch) Pending() bool { return len(b.queue) > 0 }

// Reset sends what is noted and takes back the memory of all that was received.
func (b *Batch) Reset() {
	b.Flush()
	b.used = 0
}

// Flush sends what is noted, all that leaves one socket in a row by one call. A full socket does not hold it up: UDP
// may lose a datagram, but not delay the others.
func (b *Batch) Flush() {
	for i := 0; i < len(b.queue); {
		j := i + 1
		for j < len(b.queue) && b.queue[j].fd == b.queue[i].fd {
			j++
		}
		b.sendRun(b.queue[i:j])
		i = j
	}
	clear(b.queue)
	b.queue = b.queue[:0]
}

// Troubled yields sockets, by descriptor, on which sending has met the news about an earlier datagram since it was called
// last: [Batch.Unreachable] has the rest of it. It is for an engine that hears of errors by receiving, from which such a
// call keeps them. There may be more of them than a batch takes; of those the next errors will tell. On Linux only.
func (b *Batch) Troubled() []int {
	t := b.troubled
	b.troubled = b.troubled[:0]
	return t
}

// split sends a train one by one.
func (b *Batch) split(o *outgoing) {
	single := *o
	single.Segment = 0
	for data := o.Data; len(data) > 0; {
		n := min(o.Segment, len(data))
		single.Data, data = data[:n], data[n:]
		b.sendOne(&single)
	}
}

// takesTrains reports whether no train of datagrams of size bytes, or less, was refused on the way to e yet.
func (b *Batch) takesTrains(e *Endpoint, size int) bool {
	r := &b.plain[e.hash()%256]
	return r.size == 0 || size < r.size || r.host != e.host()
}

// refuse notes that trains to e of datagrams of size bytes are refused: the MTU on the way is too small, or an
// interface cannot cut them, which the next smaller one shows again.
func (b *Batch) refuse(e *Endpoint, size int) { b.plain[e.hash()%256] = refusal{e.host(), size} }

const (
	// trainMost is how many datagrams the kernel takes as one train (UDP_MAX_SEGMENTS in linux/udp.h, before 6.9).
	trainMost = 64
	// trainBytes is how long it may be: what fits behind the headers of IPv6.
	trainBytes = 1<<16 - 1 - 40 - 8
)

// together is how many of the first of run may leave as one train: datagrams of one size, of which the last may be
// shorter, that go the same way one behind the other. The way through the kernel is what they cost, and as a train
// they go it once.
func (b *Batch) together(run []outgoing) int {
	first := &run[0]
	size := len(first.Data)
	if first.Segment != 0 || size == 0 {
		return 1
	}
	n := 1
	for total := size; n < min(len(run), trainMost); n++ {
		o := &run[n]
		last := len(run[n-1].Data) < size
		total += len(o.Data)
		if last || o.Segment != 0 || len(o.Data) == 0 || len(o.Data) > size || total > trainBytes ||
			o.Remote != first.Remote || o.Local != first.Local {
			break
		}
	}
	if n > 1 && !b.takesTrains(&first.Remote, size) {
		return 1
	}
	return n
}

// host is e without its port.
func (e *Endpoint) host() Endpoint {
	h := *e
	h.port = 0
	return h
}

// hash is FNV-1a of the address: a collision of two routes costs no more than a train that is tried again.
func (e *Endpoint) hash() uint32 {
	h := uint32(2166136261)
	for _, c := range e.ip {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// sourceOf reports what e tells about the address from which an answer has to leave: nothing for a multicast group.
func sourceOf(e Endpoint) Endpoint {
	if a := e.AddrPort().Addr(); a.IsMulticast() || a.IsUnspecified() {
		return Endpoint{}
	}
	return e.host()
}

// refusesTrain tells whether errno, from sending a train, means that it has to be sent one by one.
func refusesTrain(errno syscall.Errno) bool {
	return errno == syscall.EIO || errno == syscall.EMSGSIZE || errno == syscall.EINVAL
}

// stale tells whether errno may be the end of an earlier datagram, which the socket reports at the next call.
func stale(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EMSGSIZE, syscall.EPROTO:
		return true
	}
	return false
}
