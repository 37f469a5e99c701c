package control

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// TestServeGarbage has 64 clients that say nothing and come back when they are closed, and 1000 that send anything and
// leave in any way. Each command that is asked meanwhile gets its answer.
func TestServeGarbage(t *testing.T) {
	t.Parallel()
	const silent, lives, garbage, senders, least = 64, 3, 1000, 20, 20
	e, _, _ := newEnv(t)
	a := start(t, e, "tcp", func(s *server) { s.grace = time.Second }) // more than a busy machine stalls
	ctx, cancel := context.WithCancel(context.Background())
	var quiet, noise sync.WaitGroup
	defer quiet.Wait()
	defer cancel()
	defer noise.Wait()
	for range silent {
		quiet.Go(func() {
			for n := 0; n < lives && ctx.Err() == nil; n++ {
				c, err := net.Dial(a.Network(), a.String())
				if err != nil {
					t.Error(err)
					return
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				_, _ = io.Copy(io.Discard, c)
				stop()
				c.Close()
			}
		})
	}
	for i := range senders {
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		noise.Go(func() {
			for range garbage / senders {
				if err := disturb(a, rnd); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	over := make(chan struct{})
	go func() {
		noise.Wait()
		close(over)
	}()
	for n := 0; ; n++ {
		if got := ask(t, a, "mode"); got != "no hash no roundrobin no stubborn no weight no prio\n" {
			t.Errorf("command %d: reply %q", n, got)
		}
		select {
		case <-over:
			if n >= least {
				return
			}
		default:
		}
	}
}

// disturb is one client that sends garbage: it stays silent, resets, half closes, or reads a part of the reply.
func disturb(a net.Addr, rnd *rand.Rand) error {
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		return err
	}
	c := nc.(*net.TCPConn)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(long))
	b := make([]byte, rnd.IntN(2*MaxLine))
	for i := range b {
		b[i] = byte(rnd.Uint32()) | 0x80 // no word of ours
	}
	_, _ = c.Write(b)
	switch rnd.IntN(4) {
	case 0:
		_ = c.SetLinger(0)
	case 1:
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	case 2:
		_, _ = c.Write([]byte("\n"))
		_, _ = c.Read(b[:min(len(b), 10)])
	}
	return nil
}
