package dsr

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penlb/pen/dsr/wire"
	"github.com/penlb/pen/internal/testnet"
)

func bpffs(t *testing.T) string {
	t.Helper()
	testnet.Need(t, testnet.Root)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// pinned are the names below the directory of the interface.
func (b *bench) pinned() (names []string) {
	list, err := os.ReadDir(filepath.Join(b.pin, b.ifs[1]))
	if err != nil {
		return nil
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// What another mode or another interface has left makes no difference, nor does it stay.
func TestStalePinsAreReplaced(t *testing.T) {
	b := newBench(t, usual)
	b.pin = bpffs(t)
	at := netip.AddrPortFrom(b.vip, 80)
	b.serve(at, sayName)
	first := ""
	for _, mode := range []Mode{TC, XDPGeneric, TC, Packet} {
		b.mode = mode
		b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
		now := b.name(b.clients[0], at)
		if first == "" {
			first = now
		}
		if now != first {
			t.Errorf("%s: server %s, was %s", mode, now, first)
		}
		if got := b.pinned(); slices.Contains(got, string(mode)) != (mode != Packet) || len(got) != 0 && len(got) != 5 {
			t.Errorf("%s: pinned %v", mode, got)
		}
		b.stop()
		if c, err := b.dial(netip.Addr{}, at); (err == nil) != (mode != Packet) {
			t.Errorf("%s, without an engine: %v", mode, err)
		} else if err == nil {
			c.Close()
		}
	}
	// An interface that is made again has the name of the one before.
	b.mode = TC
	b.start(Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)})
	b.stop()
	o := Options{Interface: b.ifs[0], Mode: TC, Pin: b.pin}
	if err := os.Rename(filepath.Join(b.pin, b.ifs[1]), filepath.Join(b.pin, o.Interface)); err != nil {
		t.Fatal(err)
	}
	err := b.client.Do(func() error {
		p, err := openPins(&o, TC, 1<<20)
		if err == nil && p.kept() {
			t.Error("took over what belongs to another interface")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestModesThatCannotBe(t *testing.T) {
	b := newBench(t, usual)
	elsewhere := t.TempDir()
	for _, tt := range []struct {
		mode Mode
		pin  string
		want string
	}{
		{XDP, "", "xdp on " + b.ifs[1] + ": driver veth: "},
		{TC, elsewhere, "not in a BPF file system"},
		{Auto, elsewhere, "not in a BPF file system"},
		{Packet, elsewhere, "not in a BPF file system"},
	} {
		o := Options{Interface: b.ifs[1], Threads: 1, Batch: 1, Mode: tt.mode, Pin: tt.pin, Logf: b.log.printf}
		err := b.pen.Do(func() error {
			e, err := Open(o)
			if err == nil {
				err = errors.Join(errors.New("it can"), e.Close())
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.mode, err, tt.want)
		}
	}
}

// Without rights there is a reason, and no program.
func TestNoRights(t *testing.T) {
	testnet.Need(t, testnet.Root)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		t.Fatal(err)
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{TC, XDPGeneric} {
		if _, err := newKernel(mode, ""); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", mode, err)
		}
	}
	if err := unix.Capset(&header, &had[0]); err != nil {
		t.Fatal(err)
	}
}

// Where clients have to be asked for, user space forwards, and back.
func TestAccessListNeedsUserSpace(t *testing.T) {
	for _, mode := range []Mode{TC, XDPGeneric} {
		b := newBench(t, setting{true, mode})
		at := netip.AddrPortFrom(b.vip, 80)
		b.serve(at, sayName)
		c := Config{VIPs: []VIP{{b.vip, 80, TCP}}, Servers: b.all(b.serverAddr)}
		b.start(c)
		first := b.name(b.clients[0], at)
		permit := c
		permit.Permit = func(netip.Addr) bool { return true }
		for _, step := range []struct {
			config Config
			want   Mode
		}{{permit, Packet}, {c, mode}} {
			b.configure(step.config)
			if got := b.engine.Mode(); got != step.want {
				t.Errorf("%s: now %s, want %s", mode, got, step.want)
			}
			if got := b.name(b.clients[0], at); got != first {
				t.Errorf("%s: server %s, was %s", mode, got, first)
			}
			_, lacks := b.engine.Features()
			if told := len(lacks) == 1 && lacks[0].Name == string(mode); told != (step.want == Packet) {
				t.Errorf("%s: lacks %v", mode, lacks)
			}
		}
		b.stop()
	}
}

// A change of a thousand servers takes no time, and no datagram is lost meanwhile.
func TestManyServersChange(t *testing.T) {
	for _, mode := range []Mode{TC, XDPGeneric} {
		t.Run(string(mode), func(t *testing.T) { testManyServersChange(t, mode) })
	}
}

func testManyServersChange(t *testing.T, mode Mode) {
	const many = 1000
	const limit = 500 * time.Millisecond // twenty times what it takes without race detector on a machine that is idle
	b := newBench(t, setting{true, mode})
	at := netip.AddrPortFrom(b.vip, 53)
	for _, h := range b.servers {
		pc := h.ListenPacket("udp", at.String())
		go func() {
			room := make([]byte, 100)
			for {
				n, from, err := pc.ReadFrom(room)
				if err != nil {
					return
				}
				_, _ = pc.WriteTo(room[:n], from)
			}
		}()
	}
	config := Config{VIPs: []VIP{{b.vip, 53, UDP}}, Servers: b.all(b.serverAddr), HashPort: true}
	b.start(config)
	// The others are addresses more of the same machines.
	var news []neighbour
	found := b.engine.Stats().Servers
	for i := len(config.Servers); i < many; i++ {
		s := Server{Addr: netip.AddrFrom4([4]byte{10, 7, byte(1 + i>>8), byte(i)}), ID: i}
		config.Servers = append(config.Servers, s)
		news = append(news, neighbour{wire.AddrFrom(s.Addr), found[i%len(found)].MAC})
	}
	if err := b.engine.Configure(config); err != nil {
		t.Fatal(err)
	}
	for _, n := range news {
		b.engine.news <- n
	}
	b.await("a thousand servers", func() bool {
		return !slices.ContainsFunc(b.engine.Stats().Servers, func(s ServerStats) bool { return !s.Alive })
	})

	var asked, lost atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	defer clients.Wait()
	for range 4 {
		c, err := b.client.Dial("udp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close()
			room := make([]byte, 100)
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := asked.Add(1)
				_ = c.SetDeadline(time.Now().Add(time.Second))
				if _, err := fmt.Fprint(c, n); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Read(room); err != nil {
					lost.Add(1)
				}
			}
		})
	}
	var took []time.Duration
	for i := range 20 {
		c := config
		c.Servers = config.Servers[:many-i%2]
		begin := time.Now()
		if err := b.engine.Configure(c); err != nil {
			t.Error(err)
		}
		took = append(took, time.Since(begin))
	}
	close(stop)
	clients.Wait()
	slices.Sort(took)
	t.Logf("%d datagrams; a change takes %v, at most %v", asked.Load(), took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > limit {
		t.Errorf("a change takes %v", took[len(took)/2])
	}
	if asked.Load() < 100 || lost.Load() > 0 {
		t.Errorf("%d of %d datagrams lost", lost.Load(), asked.Load())
	}
}

// An address that this machine has, against the rules, still works for whoever is not forwarded.
func TestNobodyIsLockedOut(t *testing.T) {
	testnet.Need(t, testnet.Root)
	b := newBoard(t, 1)
	for _, k := range b.mirror.kernels {
		if err := k.publish(b.tables); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			machine []wire.Addr
			other   result
		}{{nil, dropped}, {[]wire.Addr{web}, passed}} {
			if err := k.setVIPs(b.config.VIPs, tt.machine); err != nil {
				t.Fatal(err)
			}
			for port, want := range map[uint16]result{80: redirected, 22: tt.other} {
				if r, _, err := k.run(segment(client, web, 1, port, wire.FlagSYN)); err != nil || r != want {
					t.Errorf("%s: port %d, addresses %v: result %d, %v, want %d", k.mode, port, tt.machine, r, err, want)
				}
			}
		}
	}
}
