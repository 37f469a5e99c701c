package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// marker is in the environment of a program that runs inside.
const marker = "PEN_BENCH_LAB=inside"

// Congestion is the congestion control of the connections inside.
const Congestion = "cubic"

// FirstPort is the lowest port that no client inside gets by itself.
const FirstPort = 2000

const clientPorts = "10000 65000"

// Inside reports whether the program already runs in a lab.
func Inside() bool {
	name, value, _ := strings.Cut(marker, "=")
	return os.Getenv(name) == value
}

// Enter runs the calling program again inside a new namespace and session, passes SIGINT and SIGTERM on to it, waits for it and
// returns its exit status. Without root it uses a user namespace, where the system allows that.
func Enter() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), marker)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setsid: true, Pdeathsig: syscall.SIGTERM}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("network namespace: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended just now
		case err := <-done:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil
			}
			return 0, err
		}
	}
}

// sessionNice is the niceness of the whole session: enough to push the other work of the machine aside. Kernel threads are
// among it: while a flood fills all CPUs rcu_preempt may wait for seconds, and with it every call that waits for a grace
// period, such as the attaching of programs and rings, in this session and outside.
const sessionNice = "-10"

// Prepare sets the namespace up. It must only be called Inside.
func Prepare(ctx context.Context) error {
	// Where the scheduler groups tasks by session (sched(7), autogroup), niceness between sessions is a thing of the
	// group. It may be refused, and figures are then noisier, not wrong.
	_ = os.WriteFile("/proc/self/autogroup", []byte(sessionNice), 0)
	for _, args := range []string{
		"link set lo up",
		"route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1 congctl " + Congestion,
		"route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 congctl " + Congestion,
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, strings.TrimSpace(string(out)))
		}
	}
	for _, s := range []struct{ name, value string }{
		{"ip_local_port_range", clientPorts},
		{"tcp_tw_reuse", "1"},
		{"tcp_max_tw_buckets", "10000"},
	} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+s.name, []byte(s.value), 0o644); err != nil {
			return err
		}
	}
	return nil
}
