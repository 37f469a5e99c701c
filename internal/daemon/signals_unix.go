//go:build unix

package daemon

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// signals answers signals as pen does, until the function it returns is called: TERM ends, HUP reads log and
// configuration again, USR1 reports, USR2 aborts, PIPE is ignored. INT and QUIT keep their default.
func (d *Daemon) signals() (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
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
				d.Debugf(0, "aborting: USR2")
				signal.Reset(syscall.SIGABRT)
				syscall.Kill(os.Getpid(), syscall.SIGABRT)
				runtime.Gosched()
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}
