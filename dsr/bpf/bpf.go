// Package bpf holds the program that forwards frames in the kernel, compiled: dsr.c, which says what it does. Package
// dsr loads it. Who builds pen needs no compiler for it; who changes it runs `make generate` and commits the objects.
package bpf

//go:generate ./generate.sh

import (
	"bytes"
	"fmt"

	"github.com/cilium/ebpf"
)

// Names of what is in an object.
const (
	Program = "pen_dsr"
	VIPs    = "pen_vips"
	Flows   = "pen_flows"
	Tables  = "pen_tables"
	Counts  = "pen_counts"
)

// TC is the program for tcx ingress.
func TC() (*ebpf.CollectionSpec, error) { return read(tc) }

// XDP is the program for XDP. It needs Linux 5.18.
func XDP() (*ebpf.CollectionSpec, error) { return read(xdp) }

func read(object []byte) (*ebpf.CollectionSpec, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("program for direct server return: %w", err)
	}
	return spec, nil
}
