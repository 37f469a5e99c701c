package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/penlb/pen/internal/accesslog"
	"github.com/penlb/pen/internal/balance"
	"github.com/penlb/pen/internal/settings"
	"github.com/penlb/pen/internal/sock"
	"github.com/penlb/pen/internal/testnet"
)

// held is a server that hands its connections to the test.
func held(t testing.TB) (netip.AddrPort, <-chan *net.TCPConn) {
	t.Helper()
	conns := make(chan *net.TCPConn, 64)
	return testnet.Serve(t, testnet.Loopback(t), func(ctx context.Context, c *net.TCPConn) {
		conns <- c
		<-ctx.Done()
	}), conns
}

// take is the next connection of a held server. It is closed with the client's, before the rig looks for leaks.
func (r *rig) take(conns <-chan *net.TCPConn) *net.TCPConn {
	r.t.Helper()
	select {
	case c := <-conns:
		r.t.Cleanup(func() { c.Close() })
		return c
	case <-time.After(patience):
		r.t.Fatal("nobody connects to the server")
		return nil
	}
}

// ends reports whether c's peer ends the stream, one way or the other, before d has passed.
func ends(c net.Conn, d time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
	return err == nil || !os.IsTimeout(err)
}

// TestIdleTimeout has it set before and after the connections were made. Only silence ends a session.
func TestIdleTimeout(t *testing.T) {
	const idle = 300 * time.Millisecond
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			set := func(s *settings.Settings) { s.IdleTimeout = idle }
			u := setup{servers: confs(serve(t, 'a').addr)}
			if when == "before" {
				u.set = set
			}
			r := start(t, u)
			busy, quiet, half := r.dial(0), r.dial(1), r.dial(0)
			for _, c := range []*net.TCPConn{busy, quiet, half} {
				if who(t, c) != 'a' {
					t.Fatal("not served")
				}
			}
			if when == "after" {
				r.set(set)
			}
			began := time.Now()
			go func() { _ = half.CloseWrite() }()
			ended := make(chan time.Duration, 1)
			go func() {
				ends(quiet, patience)
				ended <- time.Since(began)
			}()
			for time.Since(began) < 2*idle {
				ask(t, busy, "still here")
				time.Sleep(idle / 10) // the pace of a busy client
			}
			if took := <-ended; took < idle-50*time.Millisecond {
				t.Errorf("the quiet one ended after %v", took)
			}
			ask(t, busy, "still here")
			r.set(func(s *settings.Settings) { s.IdleTimeout = 0 })
			if ends(busy, 2*idle) {
				t.Error("ended without a timeout")
			}
		})
	}
}

// TestFastClose has each side end its stream under each value of tcp_fastclose.
func TestFastClose(t *testing.T) {
	for _, f := range []settings.FastClose{settings.FastCloseOff, settings.FastCloseUp, settings.FastCloseDown, settings.FastCloseBoth} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			addr, conns := held(t)
			r := start(t, setup{servers: confs(addr), set: func(s *settings.Settings) { s.FastClose = f }})
			for side, both := range map[string]bool{
				"client": f&settings.FastCloseDown != 0,
				"server": f&settings.FastCloseUp != 0,
			} {
				client := r.dial(0)
				server := r.take(conns)
				first, second := client, server
				if side == "server" {
					first, second = server, client
				}
				_, _ = io.WriteString(first, "last words")
				_ = first.CloseWrite()
				_ = second.SetReadDeadline(time.Now().Add(patience))
				if got, err := io.ReadAll(second); err != nil || string(got) != "last words" {
					t.Errorf("%q, %v", got, err)
				}
				if both {
					if !ends(first, patience) {
						t.Errorf("the end of the %s does not end both sides", side)
					}
				} else {
					if ends(first, 50*time.Millisecond) {
						t.Errorf("the end of the %s ends both sides", side)
					}
					_, _ = io.WriteString(second, "answer")
					_ = second.CloseWrite()
					_ = first.SetReadDeadline(time.Now().Add(patience))
					if got, err := io.ReadAll(first); err != nil || string(got) != "answer" {
						t.Errorf("%q, %v", got, err)
					}
				}
				client.Close()
				server.Close()
			}
		})
	}
}

// TestConn looks at connections as `connection N`, `socket N` and `close N` do, over two workers.
func TestConn(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		addr, conns := held(t)
		r := start(t, setup{engine: engine, servers: confs(addr)})
		var clients, servers []*net.TCPConn
		for i := range 4 {
			clients = append(clients, r.dial(i%2))
			servers = append(servers, r.take(conns))
		}
		state := func(n int) int {
			ci, ok := r.p.Conn(n)
			if !ok {
				return -1
			}
			return ci.State
		}
		for n := range 4 {
			await(t, "state 2", func() bool { return state(n) == 2 })
			ci, ok := r.p.Conn(n)
			if !ok || ci.Number != n || ci.State != 2 || ci.Server != 0 || ci.Client != 0 || ci.PendingDown+ci.PendingUp != 0 {
				t.Errorf("connection %d: %+v, %v", n, ci, ok)
			}
			if engine != "portable" && (ci.DownFD < 3 || ci.UpFD < 3 || ci.DownFD == ci.UpFD) {
				t.Errorf("connection %d: descriptors %d and %d", n, ci.DownFD, ci.UpFD)
			}
		}
		if all := r.p.All(); len(all) != 4 {
			t.Errorf("%d connections: %+v", len(all), all)
		}
		_ = clients[1].CloseWrite()
		await(t, "state 2+8", func() bool { return state(1) == 10 })
		_ = servers[2].CloseWrite()
		await(t, "state 2+4", func() bool { return state(2) == 6 })
		for _, n := range []int{-1, 4, 64, 1 << 20} {
			if state(n) != -1 || r.p.CloseConn(n) {
				t.Errorf("there is a connection %d", n)
			}
		}
		for _, n := range []int{0, 2} {
			if !r.p.CloseConn(n) {
				t.Errorf("no connection %d", n)
			}
			if !ends(clients[n], patience) || !ends(servers[n], patience) {
				t.Errorf("connection %d stays", n)
			}
			await(t, "its end", func() bool { return state(n) == -1 })
			if r.p.CloseConn(n) {
				t.Errorf("connection %d closed twice", n)
			}
		}
		// The lowest free number is next.
		r.dial(0)
		r.take(conns)
		await(t, "connection 0", func() bool { return state(0) == 2 })
		if state(2) != -1 {
			t.Errorf("connection 2: %d", state(2))
		}
	})
}

// TestConnClosedWithPending closes a connection with bytes in hand.
func TestConnClosedWithPending(t *testing.T) {
	addr, conns := held(t)
	r := start(t, setup{servers: confs(addr)})
	client := r.dial(0)
	server := r.take(conns)
	_ = client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	chunk := make([]byte, 1<<20)
	for i := 0; ; i++ {
		if _, err := client.Write(chunk); err != nil {
			break
		}
		if i > 100 {
			t.Fatal("the client is never stopped")
		}
	}
	ci, _ := r.p.Conn(0)
	if ci.PendingUp == 0 || ci.PendingDown != 0 {
		t.Errorf("pending: %+v", ci)
	}
	r.p.CloseConn(0)
	if !ends(client, patience) {
		t.Error("the client stays")
	}
	server.Close()
}

// TestDummy talks to pen itself.
func TestDummy(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := start(t, setup{engine: engine, set: func(s *settings.Settings) { s.Dummy = true }})
		for i := range 4 {
			c := r.dial(i % 2)
			if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			want := "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: text/html\r\n\r\nUlric was here."
			if err != nil || string(got) != want {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
		}
		silent := r.dial(0)
		silent.Close()
	})
}

// TestSource has connections leave from an address of choice.
func TestSource(t *testing.T) {
	addr, conns := held(t)
	r := start(t, setup{servers: confs(addr), set: func(s *settings.Settings) { s.Source = netip.MustParseAddr("127.0.0.7") }})
	r.dial(0)
	if got := r.take(conns).RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.7" {
		t.Errorf("the server sees %s", got)
	}
	r.set(func(s *settings.Settings) { s.Source = netip.Addr{} })
	r.dial(1)
	if got := r.take(conns).RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.1" {
		t.Errorf("the server sees %s", got)
	}
}

// TestUnix has a client and a server on Unix sockets.
func TestUnix(t *testing.T) {
	dir := t.TempDir()
	ul, err := net.Listen("unix", filepath.Join(dir, "server"))
	if err != nil {
		t.Skip(err)
	}
	defer ul.Close()
	go func() {
		for {
			c, err := ul.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "u")
			c.Close()
		}
	}()
	r := start(t, setup{servers: []balance.Config{{Path: ul.Addr().String()}}})
	ln, err := sock.Listen(&sock.Addr{Path: filepath.Join(dir, "pen")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.lists = append(r.lists, ln)
	w := r.p.workers.All()[0]
	r.p.workers.Each(func(x *Worker) {
		if x == w {
			if err := w.Listen(ln); err != nil {
				t.Error(err)
			}
		}
	})
	c, err := net.Dial("unix", filepath.Join(dir, "pen"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "u" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestTotals sends random traffic from several clients to several servers: what they have seen is what was counted.
func TestTotals(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := start(t, setup{engine: engine, servers: confs(serve(t, 'a').addr, serve(t, 'b').addr, serve(t, 'c').addr),
			set: func(s *settings.Settings) { s.Rules.RoundRobin = true }})
		type sum struct{ Up, Down uint64 }
		var mu sync.Mutex
		byServer, byClient, connects := [3]sum{}, map[string]sum{}, map[string]uint64{}
		var wg sync.WaitGroup
		var open []net.Conn
		for i := range 24 {
			from := fmt.Sprintf("127.0.0.%d", 2+i%5)
			c := r.dial(i%2, from)
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 3))
				s := int(who(t, c) - 'a')
				n := uint64(0)
				for range 1 + rnd.IntN(10) {
					size := 1 + rnd.IntN(1<<(4+rnd.IntN(15)))
					ask(t, c, strings.Repeat("x", size))
					n += uint64(size)
				}
				mu.Lock()
				defer mu.Unlock()
				byServer[s] = sum{byServer[s].Up + n, byServer[s].Down + n + 1}
				byClient[from] = sum{byClient[from].Up + n, byClient[from].Down + n + 1}
				connects[from]++
				if i%3 == 0 {
					c.Close()
				} else {
					open = append(open, c)
				}
			})
		}
		wg.Wait()
		for _, when := range []string{"while connections are open", "after all"} {
			r.p.Sync()
			for i, want := range byServer {
				up, down := r.p.Servers.Traffic(i)
				if got := (sum{up, down}); got != want {
					t.Errorf("%s: server %d: %+v, want %+v", when, i, got, want)
				}
			}
			got, conns := map[string]sum{}, map[string]uint64{}
			for e := range r.p.Clients.Recent(r.now(), time.Hour, 0) {
				got[e.Addr.String()] = sum{e.Received, e.Sent}
				conns[e.Addr.String()] = e.Connects
			}
			if diff := cmp.Diff(byClient, got); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
			if diff := cmp.Diff(connects, conns); diff != "" {
				t.Errorf("%s: connects %s", when, diff)
			}
			for _, c := range open {
				c.Close()
			}
			await(t, "the end", func() bool { return r.p.Conns() == 0 })
		}
	})
}

// TestAccessLog has the first line of each piece from a client in the log, from now on or no longer.
func TestAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	s := serve(t, 'a')
	r := start(t, setup{servers: confs(s.addr)})
	dest, err := accesslog.ParseDest(file)
	if err != nil {
		t.Fatal(err)
	}
	open := func() {
		if err := r.log.Open(dest, dest.Format()); err != nil {
			t.Fatal(err)
		}
		r.p.Refresh()
		r.p.Sync()
	}
	open()
	began := time.Now().Unix()
	c := r.dial(0, "127.0.0.3")
	who(t, c)
	ask(t, c, "GET /one HTTP/1.0\r\nHost: x\r\n\r\n")
	ask(t, c, "second piece")
	if err := r.log.Off(); err != nil {
		t.Fatal(err)
	}
	r.p.Refresh()
	r.p.Sync()
	ask(t, c, "unseen")
	open()
	ask(t, c, "seen again\n")
	c.Close()
	await(t, "the end", func() bool { return r.p.Conns() == 0 })
	if err := r.log.Off(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(b)) {
		m := regexp.MustCompile(`^127\.0\.0\.3 (\d+) 127\.0\.0\.1 (.*)\n$`).FindStringSubmatch(line)
		var at int64
		if m != nil {
			_, _ = fmt.Sscan(m[1], &at)
		}
		if m == nil || at < began-1 || at > time.Now().Unix() {
			t.Errorf("line %q", line)
			continue
		}
		got = append(got, m[2])
	}
	if diff := cmp.Diff([]string{"GET /one HTTP/1.0", "second piece", "seen again"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnlisten moves a worker to another port: the sessions stay.
func TestUnlisten(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		r := start(t, setup{engine: engine, workers: 1, servers: confs(serve(t, 'a').addr)})
		c := r.dial(0)
		who(t, c)
		for range 3 {
			old, now := r.lists[len(r.lists)-1], r.listen()
			detached := make(chan struct{})
			r.p.workers.Each(func(w *Worker) {
				if err := w.Listen(now); err != nil {
					t.Error(err)
				}
				w.Unlisten(old, func() { close(detached) })
			})
			<-detached
			old.Close()
			ask(t, c, "still here")
			if who(t, r.dial(len(r.addrs)-1)) != 'a' {
				t.Error("the new listener does not serve")
			}
			if c, err := dialFrom(r.addrs[len(r.addrs)-2]); err == nil {
				t.Error("the old listener still serves")
				c.Close()
			}
		}
	})
}

// TestIdlers makes them, loses them and ends them.
func TestIdlers(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		addr, conns := held(t)
		b, bconns := held(t)
		r := start(t, setup{engine: engine, servers: confs(addr, b), set: func(s *settings.Settings) { s.Idlers = 4 }})
		var as, bs []*net.TCPConn
		for range 2 {
			as = append(as, r.take(conns))
			bs = append(bs, r.take(bconns))
		}
		await(t, "4 idlers", func() bool { return r.p.Idlers() == 4 })
		if r.p.Conns() != 0 {
			t.Errorf("%d connections", r.p.Conns())
		}
		if r.p.Servers.Conns(0) != 2 || r.p.Servers.Conns(1) != 2 {
			t.Errorf("places: %d and %d", r.p.Servers.Conns(0), r.p.Servers.Conns(1))
		}
		_, _ = io.WriteString(as[0], "nobody listens")
		bs[1].Close() // it is made again, wherever its turn is
		select {
		case <-conns:
		case <-bconns:
		case <-time.After(patience):
			t.Fatal("a lost idler is not made again")
		}
		await(t, "4 idlers", func() bool { return r.p.Idlers() == 4 })
		r.set(func(s *settings.Settings) { s.Idlers = 1 })
		await(t, "1 idler", func() bool { return r.p.Idlers() == 1 })
		await(t, "the end of an idler", func() bool { return ends(as[0], time.Millisecond) || ends(as[1], time.Millisecond) })
		r.set(func(s *settings.Settings) { s.Idlers = 0 })
		await(t, "the end of the places", func() bool { return r.p.Servers.Conns(0)+r.p.Servers.Conns(1) == 0 })
	})
}
