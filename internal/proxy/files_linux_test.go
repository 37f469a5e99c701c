package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/sock"
)

// fewFiles, in the environment, makes the test binary a proxy that runs out of descriptors: "engine server".
const fewFiles = "PEN_TEST_FEW_FILES"

// TestFewFilesChild is the proxy of TestFewFiles, in a process of its own. It serves until its stdin ends.
func TestFewFilesChild(t *testing.T) {
	var engine, addr string
	if n, _ := fmt.Sscan(os.Getenv(fewFiles), &engine, &addr); n != 2 {
		return // only as a child
	}
	r := start(t, setup{engine: engine, workers: 2, servers: confs(netip.MustParseAddrPort(addr))})
	limit := syscall.Rlimit{Cur: uint64(sock.OpenFiles() + 21), Max: 1000}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println(strings.Join(r.addrs, " "))
	_, _ = io.Copy(io.Discard, os.Stdin)
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// TestFewFiles has 60 clients at a proxy with descriptors for 8: all are served in the end, though some may have to
// come again, and while they wait nothing spins.
func TestFewFiles(t *testing.T) {
	if os.Getenv(fewFiles) != "" {
		return
	}
	eachEngine(t, func(t *testing.T, engine string) {
		s := serve(t, 'a')
		cmd := exec.Command(os.Args[0], "-test.run=^TestFewFilesChild$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s", fewFiles, engine, s.addr))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(pipe)
		var addrs []string
		for len(addrs) != 2 || strings.HasPrefix(addrs[0], "=") {
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			addrs = strings.Fields(line)
			if len(addrs) > 0 && !strings.HasPrefix(addrs[0], "127.") {
				addrs = nil
			}
		}
		var again atomic.Int64
		client := func(i int, hold <-chan struct{}) {
			for try := 0; ; try++ {
				c, err := dialFrom(addrs[i%2])
				if err == nil {
					_, err = io.ReadFull(c, make([]byte, 1))
					if err == nil {
						<-hold
					}
					c.Close()
				}
				if err == nil {
					return
				}
				again.Add(1)
				if try > 1000 {
					t.Errorf("client %d is never served", i)
					return
				}
				time.Sleep(10 * time.Millisecond) // as a client that tries again does
			}
		}
		hold := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() { client(i, hold) })
		}
		await(t, "a full proxy", func() bool { return s.now.Load() >= 4 })
		time.Sleep(500 * time.Millisecond) // what is tested is that nothing happens
		close(hold)
		wg.Wait()
		t.Logf("%d clients had to try again", again.Load())
		in.Close()
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, rest)
		}
		if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); used > 3*time.Second {
			t.Errorf("the proxy used %v of processor time", used)
		} else {
			t.Logf("%v of processor time", used)
		}
	})
}
