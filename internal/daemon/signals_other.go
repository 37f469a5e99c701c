//go:build !unix

package daemon

import (
	"os"
	"os/signal"
)

// signals ends the daemon on an interrupt, until the function it returns is called. There are no other signals here.
func (d *Daemon) signals() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range c {
			d.Exit()
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}
