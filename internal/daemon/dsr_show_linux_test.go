package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penlb/pen/internal/testnet"
)

// interfaceBytes is what the interface of a host has received, or sent.
func interfaceBytes(t *testing.T, h *testnet.Host, way string) uint64 {
	t.Helper()
	out, err := h.Exec("ip", "-s", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		_, counts, ok := strings.Cut(line, way+":")
		if strings.Contains(line, " lo:") || !ok {
			continue
		}
		// The heading ends with a backslash, behind which the figures stand.
		_, figures, _ := strings.Cut(counts, "\\")
		n, err := strconv.ParseUint(strings.Fields(figures)[0], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	t.Fatalf("no interface in %s", out)
	return 0
}

// What curl downloads is seen not to pass pen: the interface has carried questions and acknowledgements alone.
func TestDSRAnswersPassBy(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	const size = 100 << 20
	for _, mode := range []string{"packet", "tc"} {
		for _, host := range []string{"10.7.0.100", "[fd07::100]"} {
			t.Run(mode+"/"+host, func(t *testing.T) {
				i := newIsland(t, "-O", "dsr_mode "+mode, "-O", "dsr_vip [fd07::100]:8080", "10.7.0.100:8080", "10.7.0.3", "10.7.0.4")
				defer i.stop()
				for _, h := range i.servers {
					serveHTTP(t, h, size)
				}
				in, out := interfaceBytes(t, i.pen, "RX"), interfaceBytes(t, i.pen, "TX")
				got, err := i.client.Exec(curl, "-gsS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
					"http://"+host+":8080/").CombinedOutput()
				if want := fmt.Sprintf("200 %d", size); err != nil || string(got) != want {
					t.Fatalf("curl: %v, %s; want %s\n%s%s", err, got, want, i.tell("dsr_stats"), i.stderr)
				}
				in, out = interfaceBytes(t, i.pen, "RX")-in, interfaceBytes(t, i.pen, "TX")-out
				if in == 0 || out == 0 || in > size/10 || out > size/10 {
					t.Errorf("pen's interface received %d bytes and sent %d; the answer has %d", in, out, size)
				}
			})
		}
	}
}

// serveHTTP answers each request on port 8080 of the virtual addresses with size bytes.
func serveHTTP(t *testing.T, h *testnet.Host, size int64) {
	for _, addr := range []string{"10.7.0.100:8080", "[fd07::100]:8080"} {
		testnet.Serve(t, h.Listen("tcp", addr), func(_ context.Context, c *net.TCPConn) {
			room := make([]byte, 64<<10)
			if _, err := c.Read(room); err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			for left := size; left > 0; left -= int64(len(room)) {
				if _, err := c.Write(room); err != nil {
					return
				}
			}
		})
	}
}

// Questions to name servers get their answers from the virtual address, over both families.
func TestDSRNames(t *testing.T) {
	i := newIsland(t, "-U", "-O", "dsr_vip [fd07::100]:53/udp", "10.7.0.100:53", "10.7.0.3", "10.7.0.4")
	defer i.stop()
	for _, h := range i.servers {
		for _, addr := range []string{"10.7.0.100:53", "[fd07::100]:53"} {
			pc := h.ListenPacket("udp", addr)
			go func() {
				room := make([]byte, 1500)
				for {
					n, from, err := pc.ReadFrom(room)
					if err != nil {
						return
					}
					if n > 12 { // the header of DNS: an answer, that there is no such name (RFC 1035, 4.1.1)
						room[2] |= 0x80
						room[3] |= 3
						_, _ = pc.WriteTo(room[:n], from)
					}
				}
			}()
		}
	}
	question := append([]byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3}, "pen\x00\x00\x01\x00\x01"...)
	for _, addr := range []string{"10.7.0.100:53", "[fd07::100]:53"} {
		c, err := i.client.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		room := make([]byte, 1500)
		for id := range byte(50) {
			question[1] = id
			if _, err := c.Write(question); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(room)
			if err != nil || n != len(question) || room[1] != id || room[2]&0x80 == 0 || room[3]&15 != 3 {
				t.Fatalf("%s: answer %x, %v\n%s", addr, room[:n], err, i.tell("dsr_stats"))
			}
		}
		c.Close()
	}
}

// A server goes while connections are open: those on the other one never notice.
func TestDSRServerGoesUnderConnections(t *testing.T) {
	n := 60
	if os.Getenv("PEN_SOAK") != "" {
		n = 500
	}
	for _, mode := range []string{"packet", "tc"} {
		t.Run(mode, func(t *testing.T) {
			i := newIsland(t, "-r", "-O", "dsr_mode "+mode, "10.7.0.100:7", "10.7.0.3", "10.7.0.4")
			defer i.stop()
			for k, h := range i.servers {
				testnet.Serve(t, h.Listen("tcp", "10.7.0.100:7"), func(_ context.Context, c *net.TCPConn) {
					var one [1]byte
					for {
						if _, err := io.ReadFull(c, one[:]); err != nil {
							return
						}
						if _, err := c.Write([]byte{'0' + byte(k)}); err != nil {
							return
						}
					}
				})
			}
			ask := func(c net.Conn) (byte, error) {
				_ = c.SetDeadline(time.Now().Add(patience))
				var one [1]byte
				if _, err := c.Write([]byte{'?'}); err != nil {
					return 0, err
				}
				_, err := io.ReadFull(c, one[:])
				return one[0], err
			}
			var stay []net.Conn // on the server that remains
			for range n {
				c, err := i.client.Dial("tcp", "10.7.0.100:7")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				who, err := ask(c)
				if err != nil {
					t.Fatalf("%v\n%s", err, i.tell("dsr_stats"))
				}
				if who == '0' {
					stay = append(stay, c)
				}
			}
			if len(stay) == 0 || len(stay) == n {
				t.Fatalf("%d of %d connections on one server", len(stay), n)
			}
			check := func(when string) {
				t.Helper()
				for _, c := range stay {
					if who, err := ask(c); err != nil || who != '0' {
						t.Fatalf("%s a connection gets %q, %v\n%s", when, who, err, i.tell("dsr_stats"))
					}
				}
			}
			var all sync.WaitGroup
			all.Go(func() { i.tell("server 1 address 0.0.0.0") })
			check("meanwhile")
			all.Wait()
			// The machine itself is gone now.
			i.servers[1].IP("link", "set", "lo", "down")
			await(t, "new connections to avoid it", func() bool {
				return strings.Count(i.tell("dsr_stats"), " alive ") == 1
			})
			check("afterwards")
			for range 10 {
				c, err := i.client.Dial("tcp", "10.7.0.100:7")
				if err != nil {
					t.Fatal(err)
				}
				if who, err := ask(c); err != nil || who != '0' {
					t.Errorf("a new connection gets %q, %v", who, err)
				}
				c.Close()
			}
		})
	}
}

// An intruder's tool sees open ports, of a machine that does not exist, and who waits for a word from it waits for ever.
func TestDSRTarpitHoldsIntruders(t *testing.T) {
	nmap, err := exec.LookPath("nmap")
	if err != nil {
		t.Skip("needs nmap")
	}
	i := newIsland(t, "-O", "acl 1 permit 10.7.0.200", "-O", "acl 1 permit fd07::200/128", "-O", "tarpit_acl 1", "10.7.0.100:80", "10.7.0.3", "10.7.0.4")
	defer i.stop()
	for _, tt := range []struct{ addr, family string }{{"10.7.0.200", "-4"}, {"fd07::200", "-6"}} {
		args := []string{"-n", "-Pn", "-sT", "-p", "22,25,80", "--host-timeout", "20s", tt.addr}
		if tt.family == "-6" {
			args = append(args, "-6")
		}
		out, err := i.client.Exec(nmap, args...).CombinedOutput()
		for _, want := range []string{"22/tcp open", "25/tcp open", "80/tcp open"} {
			if err != nil || !bytes.Contains(out, []byte(want)) {
				t.Fatalf("nmap %s: %v, no %q in\n%s%s", tt.addr, err, want, out, i.stderr)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		version := i.client.Exec(nmap, append(args[:3:3], "-sV", "-p", "22", tt.addr, tt.family)...)
		if tt.family == "-4" {
			version.Args = version.Args[:len(version.Args)-1]
		}
		if err := version.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- version.Wait() }()
		select {
		case err := <-ended:
			t.Errorf("nmap -sV ended before its time: %v", err)
		case <-ctx.Done():
			_ = version.Process.Kill()
			<-ended
		}
		cancel()
		c, err := i.client.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 23).String())
		if err != nil {
			t.Fatalf("%v\n%s", err, i.stderr)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s says %d bytes, %v", tt.addr, n, err)
		}
		c.Close()
	}
}
