package dsr

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/penlb/pen/dsr/wire"
)

// What a program says about a frame.
type result int

const (
	passed result = iota
	dropped
	redirected
	handed // to the packet sockets, to be treated there
)

// skBuff is struct __sk_buff (linux/bpf.h) as far as it matters here.
type skBuff struct {
	_    [2]uint32
	Mark uint32
	_    [45]uint32
}

// run shows the frame to the program without sending anything (BPF_PROG_TEST_RUN). The frame has a header at least.
func (k *kernel) run(frame []byte) (result, []byte, error) {
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)} // the slack that ebpf asks for, and an outer header
	var after skBuff
	if k.mode == TC {
		o.ContextOut = &after
	}
	action, err := k.prog.Run(&o)
	if err != nil {
		return passed, nil, err
	}
	// linux/pkt_cls.h and enum xdp_action.
	results := map[uint32]result{^uint32(0): passed, 2: dropped, 7: redirected}
	if k.mode != TC {
		results = map[uint32]result{2: passed, 1: dropped, 3: redirected}
	}
	r, ok := results[action]
	if !ok {
		return passed, nil, fmt.Errorf("the program returns %d", action)
	}
	if r == redirected && after.Mark == handMark {
		r = handed
	}
	return r, o.DataOut, nil
}

// selfTest shows the program a segment of a flow that it knows how to forward. The program is new: it forwards nothing
// before, and nothing afterwards.
func (k *kernel) selfTest() error {
	ours, to, from := wire.MAC{2, 0, 0, 0, 0, 1}, wire.MAC{2, 0, 0, 0, 0, 2}, wire.MAC{2, 0, 0, 0, 0, 3}
	vip := VIP{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Proto: TCP} // RFC 5737
	client := wire.AddrFrom(netip.AddrFrom4([4]byte{192, 0, 2, 2}))
	t := &tables{mac: ours, slots: new([Slots]uint16), servers: []target{{MAC: to, Flags: targetAlive | targetChosen}}}
	if err := k.setVIPs([]VIP{vip}, nil); err != nil {
		return err
	}
	if err := k.publish(t); err != nil {
		return err
	}
	frame := make([]byte, wire.EthernetLen+wire.IPv4Len+wire.TCPLen)
	wire.PutEthernet(frame, ours, from, wire.TypeIPv4)
	wire.PutIPv4(frame[wire.EthernetLen:], wire.ProtoTCP, client, wire.AddrFrom(vip.Addr), wire.TCPLen)
	wire.PutTCP(frame[wire.EthernetLen+wire.IPv4Len:], client, wire.AddrFrom(vip.Addr), 1, 2, 3, 0, wire.FlagSYN, 1)
	r, out, err := k.run(frame)
	if err != nil {
		return err
	}
	wire.Ethernet(frame).SetDst(to)
	wire.Ethernet(frame).SetSrc(ours)
	if r != redirected || !bytes.Equal(out, frame) {
		return errors.New("the program does not forward")
	}
	clear(k.memory)
	return k.setVIPs(nil, nil)
}
