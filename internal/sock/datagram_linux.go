package sock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is what recvmmsg(2) and sendmmsg(2) take several of.
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received
}

// controlWords is enough for the control messages of one datagram: its local address and the size of its segments, or
// an error with the address of who reported it.
const controlWords = 16

// batchSys are the headers that the kernel reads and fills, with what they point to.
type batchSys struct {
	in, out   [batchLen]message
	outVec    [batchLen]unix.Iovec // of what is sent, one for each datagram
	inHdr     [batchLen]mmsghdr
	outHdr    [batchLen]mmsghdr
	bad       message
	badHeader unix.Msghdr
}

type message struct {
	vec     unix.Iovec
	name    Raw
	control [controlWords]uint64
}

func (b *Batch) init() {
	s := &b.sys
	for i := range s.in {
		s.in[i].vec.Base = unsafe.SliceData(b.slot(i))
		s.in[i].vec.SetLen(MaxDatagram)
		s.inHdr[i].Iov = &s.in[i].vec
		s.inHdr[i].SetIovlen(1)
	}
}

// expect prepares h for a message of which all is wanted.
func (m *message) expect(h *unix.Msghdr) {
	h.Name = (*byte)(m.name.Pointer())
	h.Namelen = uint32(unsafe.Sizeof(m.name.mem))
	h.Control = (*byte)(unsafe.Pointer(&m.control))
	h.SetControllen(int(unsafe.Sizeof(m.control)))
	h.Flags = 0
}

// Recv receives up to max datagrams of fd, by recvmsg(2) if max is 1, else by recvmmsg(2). EAGAIN means that there is
// none. It never blocks.
func (b *Batch) Recv(fd, max int) ([]Datagram, syscall.Errno) {
	first, max := b.room(max)
	s := &b.sys
	for i := first; i < first+max; i++ {
		s.in[i].expect(&s.inHdr[i].Msghdr)
	}
	n, e := recvmmsg(fd, s.inHdr[first:first+max])
	if e != 0 {
		return nil, e
	}
	for i := first; i < first+n; i++ {
		b.got[i] = Datagram{Data: b.slot(i)[:s.inHdr[i].n], Remote: s.in[i].name.endpoint()}
		readControl(unsafe.Pointer(&s.in[i].control), uintptr(s.inHdr[i].Controllen), &b.got[i])
	}
	b.used += n
	return b.got[first:b.used], 0
}

func recvmmsg(fd int, hs []mmsghdr) (int, syscall.Errno) {
	for {
		var r uintptr
		var e syscall.Errno
		if len(hs) == 1 {
			r, _, e = unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&hs[0])), 0)
			hs[0].n, r = uint32(r), 1
		} else {
			r, _, e = unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)), 0, 0, 0)
		}
		if e != unix.EINTR {
			return count(r, e)
		}
	}
}

// Unreachable takes the news about peers that could not be reached from the error queue of fd: datagrams with Err set,
// as many as there is room for. See ip(7), IP_RECVERR.
func (b *Batch) Unreachable(fd int) []Datagram {
	first, max := b.room(batchLen)
	for range max {
		h, m := &b.sys.badHeader, &b.sys.bad
		m.expect(h)
		_, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_ERRQUEUE)
		if e != 0 {
			break
		}
		d := Datagram{Remote: m.name.endpoint()}
		if readControl(unsafe.Pointer(&m.control), uintptr(h.Controllen), &d); d.Err != 0 {
			b.got[b.used] = d
			b.used++
		}
	}
	Error(fd) // what is left of an error that was not queued
	return b.got[first:b.used]
}

// readControl takes the control messages that came with d, left bytes at p.
func readControl(p unsafe.Pointer, left uintptr, d *Datagram) {
	for left >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(p)
		size := uintptr(c.Len)
		if size < unix.SizeofCmsghdr || size > left {
			return
		}
		d.take(c, unsafe.Add(p, unix.CmsgLen(0)))
		step := uintptr(unix.CmsgSpace(int(size) - unix.SizeofCmsghdr))
		if step >= left {
			return
		}
		p, left = unsafe.Add(p, step), left-step
	}
}

// take takes one control message with its data.
func (d *Datagram) take(c *unix.Cmsghdr, data unsafe.Pointer) {
	switch {
	case c.Level == unix.SOL_UDP && c.Type == unix.UDP_GRO:
		if n := int(*(*int32)(data)); n < len(d.Data) {
			d.Segment = n
		}
	case c.Level == unix.SOL_IP && c.Type == unix.IP_PKTINFO:
		d.Local = sourceOf(endpoint4((*unix.Inet4Pktinfo)(data).Spec_dst, 0))
	case c.Level == unix.SOL_IPV6 && c.Type == unix.IPV6_PKTINFO:
		i := (*unix.Inet6Pktinfo)(data)
		d.Local = sourceOf(endpoint6(i.Addr, 0, 0))
	case c.Level == unix.SOL_IP && c.Type == unix.IP_RECVERR, c.Level == unix.SOL_IPV6 && c.Type == unix.IPV6_RECVERR:
		e := (*unix.SockExtendedErr)(data)
		if (e.Origin == unix.SO_EE_ORIGIN_ICMP || e.Origin == unix.SO_EE_ORIGIN_ICMP6) && syscall.Errno(e.Errno) != unix.EMSGSIZE {
			d.Err = syscall.Errno(e.Errno)
		}
	}
}

// sendRun sends what leaves one socket.
func (b *Batch) sendRun(run []outgoing) {
	s := &b.sys
	for i := range run {
		o := &run[i]
		if o.Segment != 0 && !b.takesTrains(&o.Remote, o.Segment) {
			b.sendRun(run[:i])
			b.split(o)
			b.sendRun(run[i+1:])
			return
		}
	}
	hs := s.outHdr[:b.pack(run)]
	again := false
	for len(hs) > 0 {
		n, e := sendmmsg(run[0].fd, hs)
		switch {
		case e == 0:
			if n < len(hs) { // the error that stopped it is not told, and may be gone with that
				b.trouble(run[0].fd)
			}
			for range n {
				run = b.past(run, int(hs[0].Iovlen), &b.Sent)
				hs = hs[1:]
			}
			again = false
			continue
		case hs[0].Iovlen > 1 && refusesTrain(e):
			b.refuse(&run[0].Remote, len(run[0].Data))
			b.sendRun(run)
			return
		case run[0].Segment != 0 && refusesTrain(e):
			b.refuse(&run[0].Remote, run[0].Segment)
			b.sendRun(run)
			return
		case stale(e) && !again:
			b.meet(run[0].fd, e)
			again = true
			continue
		}
		run = b.past(run, int(hs[0].Iovlen), &b.Lost)
		hs = hs[1:]
		again = false
	}
}

// pack writes the messages that run leaves in, and yields how many.
func (b *Batch) pack(run []outgoing) (messages int) {
	s := &b.sys
	vecs := s.outVec[:len(run)]
	for ; len(run) > 0; messages++ {
		n, segment := b.together(run), run[0].Segment
		if n > 1 {
			segment = len(run[0].Data)
		}
		for i := range n {
			vecs[i].Base = unsafe.SliceData(run[i].Data)
			vecs[i].SetLen(len(run[i].Data))
		}
		h := &s.outHdr[messages].Msghdr
		h.Iov = &vecs[0]
		h.SetIovlen(n)
		s.out[messages].write(h, &run[0], segment)
		run, vecs = run[n:], vecs[n:]
	}
	return messages
}

// past counts the first n of run, and yields the rest.
func (b *Batch) past(run []outgoing, n int, count *uint64) []outgoing {
	for i := range n {
		*count += uint64(run[i].Count())
	}
	return run[n:]
}

// sendOne sends one datagram of a train.
func (b *Batch) sendOne(o *outgoing) {
	m, h := &b.sys.bad, &mmsghdr{}
	m.vec.Base = unsafe.SliceData(o.Data)
	m.vec.SetLen(len(o.Data))
	h.Iov = &m.vec
	h.SetIovlen(1)
	m.write(&h.Msghdr, o, 0)
	for range 2 {
		_, e := sendmmsg(o.fd, []mmsghdr{*h})
		if e == 0 {
			b.Sent++
			return
		}
		if !stale(e) {
			break
		}
		b.meet(o.fd, e)
	}
	b.Lost++
}

// meet deals with an error after which sending on fd is tried again.
func (b *Batch) meet(fd int, e syscall.Errno) {
	if e == unix.EMSGSIZE {
		setInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_WANT)
	}
	b.trouble(fd)
}

// trouble notes fd for Troubled.
func (b *Batch) trouble(fd int) {
	if len(b.troubled) < batchLen {
		b.troubled = append(b.troubled, fd)
	}
}

// neverFragment makes the kernel refuse what would have to be fragmented (meet allows it then) where it would fragment it
// by itself. What it will never fragment needs no identification, which costs 2 % of sending.
func neverFragment(fd int) {
	if v, e := getInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER); v == unix.IP_PMTUDISC_WANT && e == 0 {
		setInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	}
}

// sendmmsg sends messages, and yields how many it has sent.
func sendmmsg(fd int, hs []mmsghdr) (int, syscall.Errno) {
	for {
		var r uintptr
		var e syscall.Errno
		switch h := &hs[0]; {
		case len(hs) == 1 && h.Control == nil: // one iovec, then, and this spares the kernel to fetch the header
			_, _, e = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len),
				unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
			r = 1
		case len(hs) == 1:
			_, _, e = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_NOSIGNAL)
			r = 1
		default:
			r, _, e = unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)), unix.MSG_NOSIGNAL, 0, 0)
		}
		if e != unix.EINTR {
			return count(r, e)
		}
	}
}

// write prepares h, but for its data, for sending o; if segment is not 0, as a train of datagrams of that size.
func (m *message) write(h *unix.Msghdr, o *outgoing, segment int) {
	h.Name, h.Namelen = nil, 0
	if o.Remote.IsValid() {
		m.name.setEndpoint(&o.Remote, o.six)
		h.Name, h.Namelen = (*byte)(m.name.Pointer()), m.name.Len()
	}
	n := 0
	if o.Local.IsValid() {
		n += m.writeSource(&o.Local, o.six)
	}
	if segment != 0 {
		n += m.put(n, unix.SOL_UDP, unix.UDP_SEGMENT, 2, func(p unsafe.Pointer) { *(*uint16)(p) = uint16(segment) })
	}
	h.Control = nil
	if n > 0 {
		h.Control = (*byte)(unsafe.Pointer(&m.control))
	}
	h.SetControllen(n)
}

// writeSource puts the address that the datagram shall leave from first among the control messages.
func (m *message) writeSource(e *Endpoint, six bool) int {
	if six {
		return m.put(0, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo, func(p unsafe.Pointer) {
			*(*unix.Inet6Pktinfo)(p) = unix.Inet6Pktinfo{Addr: e.as16()}
		})
	}
	return m.put(0, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo, func(p unsafe.Pointer) {
		*(*unix.Inet4Pktinfo)(p) = unix.Inet4Pktinfo{Spec_dst: [4]byte(e.ip[12:])}
	})
}

// put writes a control message with size bytes of data, by f, at offset n, and yields the room that it takes.
func (m *message) put(n int, level, kind int32, size int, f func(unsafe.Pointer)) int {
	p := unsafe.Add(unsafe.Pointer(&m.control), n)
	c := (*unix.Cmsghdr)(p)
	c.Level, c.Type = level, kind
	c.SetLen(unix.CmsgLen(size))
	f(unsafe.Add(p, unix.CmsgLen(0)))
	return unix.CmsgSpace(size)
}

// as16 is the address of e as IPv6 writes it, an IPv4 one mapped.
func (e *Endpoint) as16() [16]byte {
	ip := e.ip
	if e.bits == 32 {
		ip[10], ip[11] = 0xff, 0xff
	}
	return ip
}

// setEndpoint encodes e for a socket of IPv6, or of IPv4.
func (r *Raw) setEndpoint(e *Endpoint, six bool) {
	if !six {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&r.mem))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: htons(e.port), Addr: [4]byte(e.ip[12:])}
		r.n = unix.SizeofSockaddrInet4
		return
	}
	sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&r.mem))
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: htons(e.port), Addr: e.as16(), Scope_id: e.zone}
	r.n = unix.SizeofSockaddrInet6
}

func datagramSocket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
}

// applySystem sets what only Linux has.
func (o *DatagramOptions) applySystem(fd int) error {
	if o.Buffer > 0 && setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, int32(o.Buffer)) != 0 {
		setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, int32(o.Buffer))
	}
	if !o.six() {
		neverFragment(fd)
	}
	if o.Coalesce {
		setInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	}
	if o.Unreachable {
		setInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
		if o.six() {
			setInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
		}
	}
	if o.tellsLocal() {
		if o.six() {
			setInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			setInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1)
		}
	}
	return nil
}

// place binds and connects fd.
func (o *DatagramOptions) place(fd int) error {
	var raw Raw
	raw.setIP(o.Bind)
	if _, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(raw.Pointer()), uintptr(raw.Len())); e != 0 {
		return e
	}
	if o.Peer.IsValid() {
		raw.setIP(o.Peer)
		if e := ConnectRaw(fd, &raw); e != 0 {
			return e
		}
	}
	return nil
}

// memInfoDrops is the place of SK_MEMINFO_DROPS in what SO_MEMINFO yields, see linux/sock_diag.h.
const memInfoDrops = 8

// drops is how many datagrams the kernel has thrown away because the receive buffer was full (Linux 4.12). It is the
// counter that SO_RXQ_OVFL would add to each datagram.
func drops(fd int) uint64 {
	var v [memInfoDrops + 1]uint32
	n := uint32(unsafe.Sizeof(v))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0
	}
	return uint64(v[memInfoDrops])
}
