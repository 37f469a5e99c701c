package dsr

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/penlb/pen/dsr/wire"
)

// tapDrop is a program at tcx ingress, behind the packet sockets. It drops what they have seen and forward: the host's
// stack would only find out at some cost that it is not the receiver, and one that routes would send the frame a
// second time. Needs Linux 6.6.
type tapDrop struct {
	keys *ebpf.Map // set of vipKey
	prog *ebpf.Program
	link link.Link
}

// openTapDrop attaches the program, which drops nothing yet, to the interface.
func openTapDrop(index int) (d *tapDrop, err error) {
	d = &tapDrop{}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	d.keys, err = ebpf.NewMap(&ebpf.MapSpec{Name: "pen_vips", Type: ebpf.Hash, KeySize: 20, ValueSize: 4, MaxEntries: 4 * MaxVIPs})
	if err != nil {
		return d, err
	}
	d.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "pen_drop", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: dropProgram(d.keys.FD())})
	if err != nil {
		return d, err
	}
	d.link, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: d.prog, Attach: ebpf.AttachTCXIngress})
	return d, err
}

// set makes keys what is dropped.
func (d *tapDrop) set(keys []vipKey) error {
	var old []vipKey
	var k vipKey
	var one uint32
	it := d.keys.Iterate()
	for it.Next(&k, &one) {
		old = append(old, k)
	}
	if err := it.Err(); err != nil {
		return err
	}
	for _, k := range keys {
		if err := d.keys.Put(k, uint32(1)); err != nil {
			return fmt.Errorf("put %v: %w", k.Addr, err)
		}
	}
	for _, k := range old {
		if !slices.Contains(keys, k) {
			if err := d.keys.Delete(k); err != nil {
				return fmt.Errorf("delete %v: %w", k.Addr, err)
			}
		}
	}
	return nil
}

func (d *tapDrop) close() error {
	var errs []error
	if d.link != nil {
		errs = append(errs, d.link.Close())
	}
	if d.prog != nil {
		errs = append(errs, d.prog.Close())
	}
	if d.keys != nil {
		errs = append(errs, d.keys.Close())
	}
	return errors.Join(errs...)
}

// dropKeys is what must not reach the stack: all that goes to a VIP. If this machine has the address too, against the
// rules, only what is forwarded, so that nobody is locked out who works on it by that address.
func dropKeys(vips []VIP, machine []wire.Addr) (keys []vipKey) {
	put := func(k vipKey) {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, v := range vips {
		a := wire.AddrFrom(v.Addr)
		if !slices.Contains(machine, a) {
			put(vipKey{Addr: a})
			continue
		}
		if v.Proto&TCP != 0 {
			put(vipKey{Addr: a, Port: v.Port, Proto: wire.ProtoTCP})
		}
		if v.Proto&UDP != 0 {
			put(vipKey{Addr: a, Port: v.Port, Proto: wire.ProtoUDP})
		}
	}
	return keys
}

// Places on the program's stack, below the frame pointer: the key, and room for a field.
const (
	keyAt   = -24
	mapped  = keyAt + 10 // 0xffff of an IPv4 address
	fourAt  = keyAt + 12
	portAt  = keyAt + 16
	protoAt = keyAt + 18
	fieldAt = -32
)

// Verdicts of tcx, and fields of struct __sk_buff (linux/bpf.h).
const (
	tcxNext = -1
	tcxDrop = 2

	skbType    = 4  // pkt_type, 0: to us
	skbProto   = 16 // protocol, in network order
	skbTagged  = 20 // vlan_present
	packetHost = 0
)

// dropProgram drops a frame if the set holds its address alone, or with its protocol, or with protocol and port.
// Register 6 is the frame, 7 the offset of the transport header.
func dropProgram(set int) asm.Instructions {
	load := func(at, offset, length int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, offset),
			asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, at), asm.Mov.Imm(asm.R4, length),
			asm.FnSkbLoadBytes.Call(), asm.JNE.Imm(asm.R0, 0, "next"),
		}
	}
	look := asm.Instructions{
		asm.LoadMapPtr(asm.R1, set), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, keyAt),
		asm.FnMapLookupElem.Call(), asm.JNE.Imm(asm.R0, 0, "drop"),
	}
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbType, asm.Word), asm.JNE.Imm(asm.R0, packetHost, "next"),
		asm.LoadMem(asm.R0, asm.R6, skbTagged, asm.Word), asm.JNE.Imm(asm.R0, 0, "next"),
		asm.Mov.Imm(asm.R0, 0), asm.StoreMem(asm.RFP, keyAt, asm.R0, asm.DWord),
		asm.StoreMem(asm.RFP, keyAt+8, asm.R0, asm.DWord), asm.StoreMem(asm.RFP, keyAt+16, asm.R0, asm.Word),
		asm.LoadMem(asm.R0, asm.R6, skbProto, asm.Word),
		asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.JEq.Imm(asm.R0, wire.TypeIPv6, "six"),
		asm.JNE.Imm(asm.R0, wire.TypeIPv4, "next"),
	}
	add := func(more ...asm.Instructions) {
		for _, m := range more {
			p = append(p, m...)
		}
	}
	const ip = wire.EthernetLen
	add(
		asm.Instructions{asm.StoreImm(asm.RFP, mapped, 0xffff, asm.Half)},
		load(fourAt, ip+16, 4), look,
		load(protoAt, ip+9, 1), look,
		load(fieldAt, ip+6, 2), asm.Instructions{ // a later fragment has no ports
			asm.LoadMem(asm.R0, asm.RFP, fieldAt, asm.Half), asm.HostTo(asm.BE, asm.R0, asm.Half),
			asm.And.Imm(asm.R0, 0x1fff), asm.JNE.Imm(asm.R0, 0, "next"),
		},
		load(fieldAt, ip, 1), asm.Instructions{
			asm.LoadMem(asm.R7, asm.RFP, fieldAt, asm.Byte), asm.And.Imm(asm.R7, 15), asm.LSh.Imm(asm.R7, 2),
			asm.Add.Imm(asm.R7, ip), asm.Ja.Label("port"),
		},
	)
	six := load(keyAt, ip+24, 16)
	six[0] = six[0].WithSymbol("six")
	port := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("port"), asm.Mov.Reg(asm.R2, asm.R7), asm.Add.Imm(asm.R2, 2),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, fieldAt), asm.Mov.Imm(asm.R4, 2),
		asm.FnSkbLoadBytes.Call(), asm.JNE.Imm(asm.R0, 0, "next"),
		asm.LoadMem(asm.R0, asm.RFP, fieldAt, asm.Half), asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.StoreMem(asm.RFP, portAt, asm.R0, asm.Half),
	}
	add(
		six, look,
		load(protoAt, ip+6, 1), look,
		asm.Instructions{asm.Mov.Imm(asm.R7, ip+wire.IPv6Len)},
		port, look,
		asm.Instructions{
			asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("next"), asm.Return(),
			asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("drop"), asm.Return(),
		},
	)
	return p
}
