package dsr

import (
	"sync"
	"time"

	"github.com/penlb/pen/dsr/wire"
)

// A tarpit answers for addresses that nobody has, and accepts every connection to them, without keeping anything of
// it: an intruder who searches the network holds on to a connection that goes nowhere.

const (
	trapsPerSource = 10   // answers per second to one source, and at once
	trapsPerSecond = 1000 // answers per second to all together
	offenceEvery   = 60e9 // a source is reported again after that long
	reportsPerSec  = 5    // reports per second about all sources together
	pitSources     = 4096 // sources that are told apart
	trapWindow     = 5    // bytes that an intruder may send: little, and never acknowledged
	trapHops       = 64   // hop limit, as of everybody
	second         = int64(time.Second)
)

// offence is a connection to a tarpit that should be reported; the zero offence is none.
type offence struct {
	source, target wire.Addr
	port           uint16
}

// bucket is a token bucket of whole tokens, filled once a second.
type bucket struct {
	since int64 // second of the last fill
	left  int
}

func (b *bucket) take(now int64, perSecond int) bool {
	if s := now/second + 1; s != b.since { // never 0, the second of a bucket that was never filled
		b.since, b.left = s, perSecond
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// pit is what the threads share to limit the rate of answers. Sources that meet at one entry displace each other: the
// limit for all together holds then.
type pit struct {
	mu      sync.Mutex
	all     bucket
	reports bucket
	sources [pitSources]struct {
		addr     wire.Addr
		answers  bucket
		reported int64 // time of the last report plus 1, 0 if there was none
	}
}

// admit reports whether source gets an answer now, and whether that is news.
func (p *pit) admit(source *wire.Addr, now int64) (ok, report bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.sources[hash(keyOffset, source, 0)%pitSources]
	if e.addr != *source {
		e.addr, e.answers, e.reported = *source, bucket{}, 0
	}
	if (e.reported == 0 || now+1-e.reported >= offenceEvery) && p.reports.take(now, reportsPerSec) {
		e.reported, report = now+1, true
	}
	return e.answers.take(now, trapsPerSource) && p.all.take(now, trapsPerSecond), report
}

// lures reports whether a is an address to catch intruders with. Those that somebody has are not, whatever the list
// says.
func (t *tables) lures(a *wire.Addr) bool {
	if _, ok := t.vips[vipKey{Addr: *a, Proto: anyOf}]; ok || !t.tarpit || !t.config.Tarpit6 && !a.Is4() || t.own[*a] {
		return false
	}
	return t.config.Tarpit(a.Netip())
}

// trap answers the SYN in frame, p, with a SYN and ACK, if it is for an address of the tarpit.
func (f *Forwarder) trap(t *tables, frame []byte, p *wire.Packet, now int64) (Verdict, []byte) {
	if p.Fragment || !t.lures(&p.Dst) {
		return DropOther, nil
	}
	ok, report := f.pit.admit(&p.Src, now)
	if report {
		f.offender = offence{p.Src, p.Dst, p.DstPort}
	}
	if !ok {
		return DropRate, nil
	}
	// Any number will do for our side; this one is the same when the client asks again.
	seq := uint32(hash(keySkip, &p.Src, p.SrcPort) ^ hash(keyOffset, &p.Dst, p.DstPort))
	ack := p.Sequence(frame) + 1
	eth := wire.Ethernet(frame)
	eth.SetDst(eth.Src())
	eth.SetSrc(t.mac)
	l4 := p.L3 + wire.IPv4Len // a SYN is at least as long as the answer
	if p.Type == wire.TypeIPv6 {
		l4 = p.L3 + wire.IPv6Len
		wire.PutIPv6(frame[p.L3:], wire.ProtoTCP, trapHops, p.Dst, p.Src, wire.TCPLen)
	} else {
		wire.PutIPv4(frame[p.L3:], wire.ProtoTCP, p.Dst, p.Src, wire.TCPLen)
	}
	frame = frame[:l4+wire.TCPLen]
	wire.PutTCP(frame[l4:], p.Dst, p.Src, p.DstPort, p.SrcPort, seq, ack, wire.FlagSYN|wire.FlagACK, trapWindow)
	return Answered, frame
}
