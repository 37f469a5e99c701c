//go:build mips || mips64 || ppc64 || s390x

package bpf

import _ "embed"

//go:embed tc_bpfeb.o
var tc []byte

//go:embed xdp_bpfeb.o
var xdp []byte
