package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// soakRole, in the environment, makes the test binary one of the peers of TestSoakIdle: "server", or "client ADDR N".
// They are processes of their own, since each process may have only so many descriptors.
const soakRole = "PEN_TEST_SOAK_ROLE"

// soakPeer is the main function of such a process; false if this is none.
func soakPeer() bool {
	role := strings.Fields(os.Getenv(soakRole))
	if len(role) == 0 {
		return false
	}
	_, _ = sock.RaiseFileLimit()
	if role[0] == "server" {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Println(l.Addr())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
				}()
			}
		}()
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	var n int
	_, _ = fmt.Sscan(role[2], &n)
	conns := make([]net.Conn, n)
	var wg sync.WaitGroup
	var failed atomic.Int64
	each := func(f func(i int) error) {
		for w := range 20 {
			wg.Go(func() {
				for i := w; i < n; i += 20 {
					if err := f(i); err != nil {
						failed.Add(1)
						fmt.Fprintln(os.Stderr, i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		fmt.Println(failed.Load())
	}
	echo := func(i int) error {
		b := []byte{byte(i)}
		_ = conns[i].SetDeadline(time.Now().Add(patience))
		if _, err := conns[i].Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(conns[i], b); err != nil {
			return err
		}
		if b[0] != byte(i) {
			return fmt.Errorf("echo %d, want %d", b[0], byte(i))
		}
		return nil
	}
	each(func(i int) (err error) {
		from := net.IPv4(127, 9, byte(i>>8), byte(1+i&0x7f))
		if conns[i], err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}).Dial("tcp4", role[1]); err != nil {
			return err
		}
		return echo(i)
	})
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n')
	each(echo) // all are still there
	_, _ = io.Copy(io.Discard, in)
	os.Exit(0)
	return true
}
