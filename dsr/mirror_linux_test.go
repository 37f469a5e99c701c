package dsr

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

// A mirror shows every frame that a forwarder has treated to the programs in the kernel too, which must come to the
// same result.
type mirror struct {
	kernels []*kernel
	last    *tables
}

// newMirror returns nil where programs cannot be loaded; TestProgramsLoad says why.
func newMirror(t testing.TB) *mirror {
	if _, bench := t.(*testing.B); bench || os.Geteuid() != 0 {
		return nil
	}
	m := &mirror{}
	for _, mode := range []Mode{TC, XDPGeneric} {
		k, err := newKernel(mode, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := k.close(); err != nil {
				t.Error(err)
			}
		})
		m.kernels = append(m.kernels, k)
	}
	return m
}

// check runs the programs with frame, of which the forwarder has made v and out.
func (m *mirror) check(tb testing.TB, t *tables, frame []byte, v Verdict, out []byte) {
	if m == nil {
		return
	}
	for _, k := range m.kernels {
		if m.last != t {
			if err := k.setVIPs(t.config.VIPs, nil); err != nil {
				tb.Fatal(err)
			}
			if err := k.publish(t); err != nil {
				tb.Fatal(err)
			}
		}
		before := k.verdict(v)
		r, got, err := k.run(frame)
		if errors.Is(err, unix.EINVAL) {
			continue // the kernel runs no program with less than an IP header behind that of Ethernet
		}
		if err != nil {
			tb.Fatal(err)
		}
		switch {
		case tooBig(t, frame, v):
			if r != handed && (r != passed || k.mode == TC) {
				tb.Fatalf("%s: result %d of what is too big\n%x", k.mode, r, frame)
			}
		case !inKernel(&t.config):
			if r != passed {
				tb.Fatalf("%s: result %d although user space decides", k.mode, r)
			}
		case (r == redirected) != (v == Forwarded):
			tb.Fatalf("%s: result %d, the forwarder says %d %s\n%x", k.mode, r, v, causes[v], frame)
		case r == redirected && !bytes.Equal(got, out):
			tb.Fatalf("%s: %x\nforwarder: %x", k.mode, got, out)
		case r != redirected && !bytes.Equal(got, frame):
			tb.Fatalf("%s: changed a frame that it does not forward", k.mode)
		case r == passed && v >= DropTruncated && toVIP(t, frame):
			tb.Fatalf("%s: passed on what is dropped as %s\n%x", k.mode, causes[v], frame)
		case r != passed && k.verdict(v) != before+1:
			tb.Fatalf("%s: not counted as %d %s\n%x", k.mode, v, causes[v], frame)
		}
	}
	m.last = t
}

// tooBig reports whether the frame is too big for the tunnel that it should go through.
func tooBig(t *tables, frame []byte, v Verdict) bool {
	return v == DropTooBig || v == Answered && inKernel(&t.config) && toVIP(t, frame)
}

// toVIP reports whether a well-formed frame is for us and a VIP, and not about neighbours.
func toVIP(t *tables, frame []byte) bool {
	var p wire.Packet
	if wire.Decode(frame, &p) != nil || wire.Ethernet(frame).Dst() != t.mac {
		return false
	}
	if p.Proto == wire.ProtoICMPv6 && p.End-p.L4 >= wire.ICMPLen &&
		(frame[p.L4] == wire.ICMPv6Solicit || frame[p.L4] == wire.ICMPv6Advertise) {
		return false
	}
	_, ok := t.vips[vipKey{Addr: p.Dst, Proto: anyOf}]
	return ok
}

func (k *kernel) verdict(v Verdict) (n uint64) {
	for _, c := range k.counts {
		n += c.verdicts[v].Load()
	}
	return n
}

func TestProgramsLoad(t *testing.T) {
	testnet.Need(t, testnet.Root)
	for _, mode := range []Mode{TC, XDPGeneric} {
		k, err := newKernel(mode, "")
		if err != nil {
			t.Fatal(mode, err)
		}
		if err := k.selfTest(); err != nil {
			t.Error(mode, err)
		}
		if err := k.close(); err != nil {
			t.Error(mode, err)
		}
	}
}
