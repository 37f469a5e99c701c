package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// tlsConfig is how clients speak TLS: as most do today, but without asking who the proxy is. The group is the only one
// that every peer has. What is left to choose must come out the same for all, or figures of different work are compared.
func tlsConfig() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, ServerName: "bench", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256},
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
				return fmt.Errorf("the proxy chose %s", tls.CipherSuiteName(s.CipherSuite))
			}
			return nil
		},
	}
}

// encrypted reports whether the groups speak TLS.
func (s *Spec) encrypted() bool { return len(s.Groups) > 0 && s.Groups[0].TLS != Plain }

// tlsClient drives the groups of a Spec with TLS: a goroutine for each connection, for crypto/tls blocks.
type tlsClient struct {
	spec     *Spec
	out      *bufio.Writer
	counting atomic.Bool
	workers  sync.WaitGroup
	groups   []*tlsGroup
}

// tlsGroup is the state of a group.
type tlsGroup struct {
	*Group
	conf  *tls.Config
	bytes atomic.Uint64
	mu    sync.Mutex // guards sums
	sums  *group
}

// generateTLS is Generate for groups with TLS. A byte on in begins the window.
func generateTLS(spec *Spec, in io.Reader, out io.Writer) error {
	c := &tlsClient{spec: spec, out: bufio.NewWriter(out)}
	ctx, cancel := context.WithCancel(context.Background())
	defer c.workers.Wait()
	defer cancel()
	if err := c.open(ctx); err != nil {
		return err
	}
	if err := c.say(Ready); err != nil {
		return err
	}
	if _, err := in.Read(make([]byte, 1)); err != nil {
		return nil // told to end
	}
	if err := c.say(Started); err != nil {
		return err
	}
	began := time.Now()
	c.counting.Store(true)
	time.Sleep(spec.Measure)
	c.counting.Store(false)
	result := Result{Elapsed: time.Since(began)}
	if err := c.say(Stopped); err != nil {
		return err
	}
	for _, g := range c.groups {
		g.mu.Lock()
		g.sums.bytes = g.bytes.Load()
		result.Groups = append(result.Groups, g.sums.result())
		g.mu.Unlock()
	}
	if err := json.NewEncoder(c.out).Encode(&result); err != nil {
		return err
	}
	return c.out.Flush()
}

func (c *tlsClient) say(line string) error {
	if _, err := fmt.Fprintln(c.out, line); err != nil {
		return err
	}
	return c.out.Flush()
}

// tlsOpeningAtOnce handshakes are under way while the connections are opened: some peers take their time for each.
const tlsOpeningAtOnce = 16

// open makes all connections, and lets them work.
func (c *tlsClient) open(ctx context.Context) error {
	for i := range c.spec.Groups {
		spec := &c.spec.Groups[i]
		g := &tlsGroup{Group: spec, conf: tlsConfig(), sums: newGroup(spec)}
		c.groups = append(c.groups, g)
		if spec.Kind == Short {
			for range spec.Conns {
				c.workers.Go(func() { c.short(ctx, g) })
			}
			continue
		}
		var opening sync.WaitGroup
		var next atomic.Int32
		errs := make([]error, tlsOpeningAtOnce)
		for k := range errs {
			opening.Go(func() {
				for int(next.Add(1)) <= spec.Conns && errs[k] == nil {
					errs[k] = c.begin(ctx, g)
				}
			})
		}
		opening.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// begin opens a connection that lasts.
func (c *tlsClient) begin(ctx context.Context, g *tlsGroup) error {
	conn, err := c.dial(ctx, g)
	if err != nil {
		return err
	}
	if g.Kind == Idle {
		if err := exchange(conn, g.sums.first, g.Reply); err != nil {
			return err
		}
	}
	c.workers.Go(func() { c.stream(conn, g) })
	return nil
}

// dial connects and makes the handshake. The connection ends with ctx.
func (c *tlsClient) dial(ctx context.Context, g *tlsGroup) (*tls.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", c.spec.Target.String())
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, g.conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	c.workers.Go(func() {
		<-ctx.Done()
		raw.Close()
	})
	return conn, nil
}

// exchange sends a request and reads the reply.
func exchange(conn net.Conn, request []byte, reply int) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, conn, int64(reply))
	return err
}

// short makes connections of one request each until ctx ends. If they resume sessions, each does that of the one
// before it, for a ticket is good once; the first one has none and does not count.
func (c *tlsClient) short(ctx context.Context, g *tlsGroup) {
	conf, first := g.conf, g.TLS == Resumed
	if first {
		conf = conf.Clone()
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	for ctx.Err() == nil {
		began := time.Now()
		resumed, err := c.once(ctx, g, conf)
		if err == nil && g.TLS == Resumed && !resumed {
			err = errNotResumed
		}
		if !c.counting.Load() || first {
			first = false
			continue
		}
		g.mu.Lock()
		if err != nil {
			g.sums.errors++
		} else {
			g.sums.done++
			g.sums.record(time.Since(began))
			g.bytes.Add(uint64(g.Reply))
		}
		g.mu.Unlock()
	}
}

var errNotResumed = errors.New("the session was not resumed")

func (c *tlsClient) once(ctx context.Context, g *tlsGroup, conf *tls.Config) (resumed bool, err error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", c.spec.Target.String())
	if err != nil {
		return false, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	conn := tls.Client(raw, conf)
	if err := exchange(conn, g.sums.first, g.Reply); err != nil {
		return false, err
	}
	return conn.ConnectionState().DidResume, conn.CloseWrite()
}

// stream moves bytes, or keeps still, until the connection ends.
func (c *tlsClient) stream(conn *tls.Conn, g *tlsGroup) {
	b := make([]byte, HeaderBytes)
	if g.Kind != Idle {
		if _, err := conn.Write(g.sums.first); err != nil {
			return
		}
		b = make([]byte, chunkBytes)
	}
	move := conn.Read
	if g.Kind == Up {
		move = conn.Write
	}
	for {
		n, err := move(b)
		if c.counting.Load() {
			g.bytes.Add(uint64(n))
		}
		if err != nil {
			if c.counting.Load() {
				g.mu.Lock()
				g.sums.errors++
				g.mu.Unlock()
			}
			return
		}
	}
}
