package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	tcx "github.com/cilium/ebpf/link"
)

// code makes a program for the interface of a number.
type code func(index int) asm.Instructions

// program is one at tcx ingress of an interface. Needs Linux 6.6.
type program struct {
	prog *ebpf.Program
	link tcx.Link
}

// attachProgram puts a program on an interface of the calling thread's namespace.
func attachProgram(name string, instructions code) (*program, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	p := &program{}
	if p.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "bench", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: instructions(ifi.Index)}); err != nil {
		return nil, err
	}
	if p.link, err = tcx.AttachTCX(tcx.TCXOptions{Interface: ifi.Index, Program: p.prog, Attach: ebpf.AttachTCXIngress}); err != nil {
		return nil, errors.Join(err, p.prog.Close())
	}
	return p, nil
}

func (p *program) close() error { return errors.Join(p.link.Close(), p.prog.Close()) }

// Fields of struct __sk_buff and verdicts of tcx (linux/bpf.h).
const (
	skbProtocol = 16
	skbData     = 76
	skbEnd      = 80
	tcxNext     = -1
	tcxDrop     = 2
)

// ofIPv4 leaves all but IPv4 alone. The frame is in register 6 behind it.
func ofIPv4(body ...asm.Instruction) asm.Instructions {
	return append(append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbProtocol, asm.Word), asm.HostTo(asm.BE, asm.R0, asm.Half),
		asm.JNE.Imm(asm.R0, 0x0800, "next"),
	}, body...), asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("next"), asm.Return())
}

// drop throws away what is IPv4.
func drop(int) asm.Instructions {
	return ofIPv4(asm.Mov.Imm(asm.R0, tcxDrop), asm.Return())
}

// redirect is the least that forwards: it sends all that is IPv4 to the server, out of the interface that it has come in by.
func redirect(index int) asm.Instructions {
	body := []asm.Instruction{
		asm.LoadMem(asm.R2, asm.R6, skbData, asm.Word), asm.LoadMem(asm.R3, asm.R6, skbEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 14), asm.JGT.Reg(asm.R4, asm.R3, "next"),
	}
	for i, text := range []string{serverMAC, lbMAC} {
		mac, err := net.ParseMAC(text)
		if err != nil {
			panic(err) // a constant
		}
		for at := 0; at < len(mac); at += 2 {
			body = append(body, asm.StoreImm(asm.R2, int16(6*i+at), int64(binary.NativeEndian.Uint16(mac[at:])), asm.Half))
		}
	}
	return ofIPv4(append(body, asm.Mov.Imm(asm.R1, int32(index)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return())...)
}
