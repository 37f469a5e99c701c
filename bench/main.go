// Command bench compares pen with its peers: the original pen, HAProxy, nginx, a plain Go proxy, and no proxy at all.
//
//	go run ./bench                                  one scenario, a few peers, in less than 20 seconds
//	go run ./bench -scenario 'rr64-*,short' -peers 'pen*,haproxy'
//	go run ./bench -preset full -out bench/results  everything, as published
//	go run ./bench list                             the scenarios, and the peers as found on this machine
//	go run ./bench report bench/results/bench.json  tables and plots again from the figures
//
// It runs the real programs in a private network namespace, the proxy pinned to one processor and the load to another,
// and writes bench.json, bench.md and plots. It needs Linux, the command ip, and root or user namespaces.
package main

import (
	"os"
	"runtime"

	"github.com/penlb/pen/bench/cli"
)

func main() {
	// Children are told to die with the thread that started them. A locked thread ends only with its goroutine, this one
	// with the program.
	runtime.LockOSThread()
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
