//go:build 386 || amd64 || arm || arm64 || loong64 || mipsle || mips64le || ppc64le || riscv64 || wasm

package bpf

import _ "embed"

//go:embed tc_bpfel.o
var tc []byte

//go:embed xdp_bpfel.o
var xdp []byte
