package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penlb/pen/bench/lab"
	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/proc"
	"github.com/penlb/pen/bench/report"
	"github.com/penlb/pen/bench/run"
)

// name is that of the files of a measurement.
const name = "bench"

// measure checks the command line outside, and does the work inside of a lab.
func measure(args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return status(err, stderr)
	}
	if !lab.Inside() {
		code, err := lab.Enter()
		return max(code, status(err, stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return status(measureInside(ctx, o, stdout, stderr), stderr)
}

func measureInside(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	if err := lab.Prepare(ctx); err != nil {
		return err
	}
	proc.Prefer() // and read the meters in time
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pen-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The master of nginx is root, and its worker is not.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	r := &report.Report{
		Created: time.Now(),
		Machine: report.ThisMachine(),
		Method: report.Method{
			Preset: o.preset, Rounds: o.rounds, Window: o.window, Lab: true, Congestion: lab.Congestion, ProxyCPU: 0, LoadCPU: 1,
		},
	}
	if runtime.NumCPU() < 2 {
		r.Method.ProxyCPU, r.Method.LoadCPU = -1, -1
		fmt.Fprintln(stderr, "bench: only one processor; nothing is pinned and the figures mean little")
	}
	for i := range o.peers {
		p := &o.peers[i]
		if p.Missing != "" {
			fmt.Fprintf(stderr, "bench: %s takes no part: %s\n", p.Name, p.Missing)
		}
		r.Peers = append(r.Peers, report.Peer{
			Name: p.Name, Title: p.Title, Ours: p.Ours, Path: p.Path, Version: p.Version, Missing: p.Missing,
		})
	}
	var failed error
	r.Scenarios, failed = run.Run(ctx, &run.Options{
		Self: []string{self, "worker"}, Peers: o.peers, Scenarios: o.scenarios, Rounds: o.rounds, Window: o.window, Warm: warm,
		ProxyCPU: r.Method.ProxyCPU, LoadCPU: r.Method.LoadCPU, FirstPort: lab.FirstPort, Dir: dir, Log: stderr,
	})
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was written")
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return errors.Join(failed, err)
	}
	if err := r.Write(filepath.Join(o.out, name+".json")); err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, render(r, o.out, name, stdout))
}

// worker is one of the children of a measurement.
func worker(args []string, stdout io.Writer) error {
	if len(args) < 2 {
		return usageError("worker is for the benchmark itself")
	}
	switch role, args := args[0], args[1:]; role {
	case "exec":
		cpu, err := strconv.Atoi(args[0])
		if err != nil || len(args) < 2 {
			return usageError("usage: bench worker exec processor program [argument ...]")
		}
		return proc.Exec(cpu, args[1:], os.Environ())
	case "client":
		spec := new(load.Spec)
		if err := json.Unmarshal([]byte(args[0]), spec); err != nil {
			return usageError(err.Error())
		}
		return load.Generate(spec, stdout)
	case "packets":
		spec := new(load.PacketSpec)
		if err := json.Unmarshal([]byte(args[0]), spec); err != nil {
			return usageError(err.Error())
		}
		return load.SendPackets(spec, stdout)
	case "backend":
		listen, err := netip.ParseAddrPort(args[0])
		if err != nil {
			return usageError(err.Error())
		}
		return load.Serve(listen, stdout)
	case "spin": // a program that wants a processor for itself, until the end of its input
		var ended atomic.Bool
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			ended.Store(true)
		}()
		for !ended.Load() {
		}
		return nil
	case "copy":
		if len(args) < 2 {
			return usageError("usage: bench worker copy listen target")
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		ln, err := net.Listen("tcp4", args[0])
		if err != nil {
			return err
		}
		return load.Copy(ctx, ln, args[1])
	default:
		return usageError(fmt.Sprintf("unknown worker %q", role))
	}
}
