package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// burst is the most frames that are sent between two looks at the clock.
const burst = 64

// arrival is how long what is under way may take: after that it has arrived or never will.
const arrival = 50 * time.Millisecond

// SendPackets runs spec as Generate does: it writes Ready to out, sends without counting until a byte arrives on standard
// input, counts for spec.Measure, and writes the Result. Done are the frames that arrived, Errors those that did not.
func SendPackets(spec *PacketSpec, out io.Writer) error {
	if err := spec.Check(); err != nil {
		return err
	}
	s, err := newPacketSender(spec)
	if err != nil {
		return err
	}
	defer syscall.Close(s.fd)
	var began, ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		var one [1]byte
		if n, _ := os.Stdin.Read(one[:]); n == 1 {
			began.Store(true)
			_, _ = os.Stdin.Read(one[:])
		}
		ended.Store(true)
	}()
	fmt.Fprintln(out, Ready)
	if err := s.send(spec.Groups[0].Rate, func(time.Duration) bool { return began.Load() || ended.Load() }); err != nil {
		return err
	}
	if ended.Load() {
		return nil
	}
	fmt.Fprintln(out, Started)
	measure := s.measure
	if spec.Overload {
		measure = s.overload
	}
	r, err := measure(out)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	<-done
	return nil
}

// packetSender sends frames of all flows by turns.
type packetSender struct {
	spec   *PacketSpec
	fd     int
	frames [][]byte
	next   int
	sent   uint64
}

func newPacketSender(spec *PacketSpec) (*packetSender, error) {
	frames, err := spec.frames()
	if err != nil {
		return nil, err
	}
	fd, err := openLink(spec.Out)
	return &packetSender{spec: spec, fd: fd, frames: frames}, err
}

// measure makes the Result of spec, and writes Stopped as soon as it sends no more.
func (s *packetSender) measure(out io.Writer) (*Result, error) {
	g := &s.spec.Groups[0]
	sent, arrived, elapsed, err := s.window(g.Rate, s.spec.Measure, func() { fmt.Fprintln(out, Stopped) })
	r := GroupResult{Name: g.Name, Kind: g.Kind, Done: arrived, Bytes: arrived * uint64(g.Request)}
	if sent > arrived {
		r.Errors = sent - arrived
	}
	return &Result{Elapsed: elapsed, Groups: []GroupResult{r}}, err
}

// window sends for some time, and calls stopped then. It returns how many frames it has sent, and how many of them have
// arrived.
func (s *packetSender) window(rate float64, length time.Duration, stopped func()) (sent, arrived uint64, elapsed time.Duration, err error) {
	before, err := Transmitted(s.spec.In)
	if err != nil {
		return 0, 0, 0, err
	}
	from := s.sent
	err = s.send(rate, func(now time.Duration) bool { elapsed = now; return now >= length })
	stopped()
	if err != nil {
		return 0, 0, 0, err
	}
	time.Sleep(arrival)
	now, err := Transmitted(s.spec.In)
	return s.sent - from, now - before, elapsed, err
}

// send sends at rate, as fast as it goes if that is 0, until the end, which is told how long it has been.
func (s *packetSender) send(rate float64, end func(time.Duration) bool) error {
	start := time.Now()
	p := pace{rate: rate}
	for {
		now := time.Since(start)
		if end(now) {
			return nil
		}
		for range p.due(now) {
			// A full queue takes a frame back: it was not sent.
			if _, err := syscall.Write(s.fd, s.frames[s.next]); err == nil {
				s.sent++
			} else if !errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.EINTR) {
				return os.NewSyscallError("send", err)
			}
			s.next = (s.next + 1) % len(s.frames)
		}
	}
}

// pace tells when to send what.
type pace struct {
	rate  float64 // per second; 0: without end
	begun float64 // frames that were due so far
}

// due is how many frames are due at now, burst at most. Who is late by more than that does not make up for it: it would
// be another load than the one that is asked for.
func (p *pace) due(now time.Duration) int {
	if p.rate == 0 {
		return burst
	}
	n := int(now.Seconds()*p.rate - p.begun)
	p.begun += float64(n)
	return min(n, burst)
}

// The search for the rate of overload.
const (
	overloadStep   = 1.1
	overloadWindow = 200 * time.Millisecond
	overloadReach  = 0.95 // of a rate that was asked for; with less this side is at its end
)

// overload makes a Result with the Rate that spec asks for: in two windows out of two, for a single one may be noise.
func (s *packetSender) overload(out io.Writer) (*Result, error) {
	defer fmt.Fprintln(out, Stopped)
	for rate := s.spec.Groups[0].Rate; ; rate *= overloadStep {
		for try := 0; ; try++ {
			if try == 2 {
				return &Result{Rate: rate}, nil
			}
			sent, arrived, elapsed, err := s.window(rate, overloadWindow, func() {})
			if err != nil {
				return nil, err
			}
			if float64(sent) < overloadReach*rate*elapsed.Seconds() {
				return &Result{}, nil
			}
			if float64(arrived) >= (1-OverloadLoss)*float64(sent) {
				break
			}
		}
	}
}

// openLink opens a packet socket that sends on an interface and receives nothing; packet(7).
func openLink(name string) (int, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
		syscall.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// Transmitted is how many packets an interface has sent; proc_net_dev(5).
func Transmitted(name string) (uint64, error) {
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if link, counts, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(link) == name {
			if f := strings.Fields(counts); len(f) >= 10 {
				return strconv.ParseUint(f[9], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no interface %s", name)
}
