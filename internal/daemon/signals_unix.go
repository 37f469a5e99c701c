//go:build unix

package daemon

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// signals answers signals as pen does, until the function it returns is called: TERM ends, HUP reads log and
// configuration again, USR1 reports, USR2 aborts, PIPE is ignored. INT and QUIT keep their default.
func (d *Daemon) signals() (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	raiseCoreLimit()
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range c {
			switch s {
			case syscall.SIGTERM:
				d.Exit()
			case syscall.SIGHUP:
				d.reload()
			case syscall.SIGUSR1:
				d.report()
			case syscall.SIGUSR2:
				debug.SetTraceback("crash") // stacks, then a core, as abort(3) leaves one
				syscall.Kill(os.Getpid(), syscall.SIGABRT)
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}

// raiseCoreLimit makes a core as large as the administrator allows, as pen does.
func raiseCoreLimit() {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &r) == nil {
		r.Cur = r.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &r) // without it a core is cut short, no more
	}
}
