package load

import (
	"context"
	"errors"
	"io"
	"net"
)

// Copy is the baseline that any Go programmer would write first: per connection two goroutines and io.Copy, which uses
// splice(2) on Linux. It serves ln until ctx ends or accepting fails, and sends every connection to target. Connections
// that are open when it returns stay open until their ends close them.
func Copy(ctx context.Context, ln net.Listener, target string) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		down, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		go copyBoth(down.(*net.TCPConn), target)
	}
}

func copyBoth(down *net.TCPConn, target string) {
	defer down.Close()
	c, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	up := c.(*net.TCPConn)
	defer up.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyOne(up, down)
	}()
	copyOne(down, up)
	<-done
}

// copyOne moves one direction and passes its end on.
func copyOne(dst, src *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil {
		// A broken direction breaks the session: closing wakes the other one.
		dst.Close()
		src.Close()
		return
	}
	dst.CloseWrite()
}
