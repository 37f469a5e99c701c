package load

import (
	"encoding/binary"
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

// burst is how many frames are sent between two looks at the clock.
const burst = 64

// etherIPv4 is the EtherType of IPv4.
const etherIPv4 = 0x0800

// SendPackets runs spec as Generate does: it writes Ready to out, sends without counting until a byte arrives on standard
// input, counts for spec.Measure, and writes the Result. Done are the frames that arrived, Errors those that did not.
func SendPackets(spec *PacketSpec, out io.Writer) error {
	if err := spec.Check(); err != nil {
		return err
	}
	g := &spec.Groups[0]
	frames, err := spec.frames()
	if err != nil {
		return err
	}
	fd, err := openLink(spec.Out)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var began atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var one [1]byte
		if n, _ := os.Stdin.Read(one[:]); n == 1 {
			began.Store(true)
			_, _ = os.Stdin.Read(one[:])
		}
	}()
	fmt.Fprintln(out, Ready)
	var sent, arrived, from uint64
	var start time.Time
	for next := 0; ; {
		select {
		case <-ended:
			return nil
		default:
		}
		if start.IsZero() && began.Load() {
			if arrived, err = Transmitted(spec.In); err != nil {
				return err
			}
			from, start = sent, time.Now()
			fmt.Fprintln(out, Started)
		}
		for range burst {
			// A full queue takes a frame back: it was not sent.
			if _, err := syscall.Write(fd, frames[next]); err == nil {
				sent++
			} else if !errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.EINTR) {
				return os.NewSyscallError("send", err)
			}
			next = (next + 1) % len(frames)
		}
		if !start.IsZero() && time.Since(start) >= spec.Measure {
			break
		}
	}
	elapsed := time.Since(start)
	fmt.Fprintln(out, Stopped)
	time.Sleep(50 * time.Millisecond) // what is still under way has arrived or never will
	now, err := Transmitted(spec.In)
	if err != nil {
		return err
	}
	r := GroupResult{Name: g.Name, Kind: g.Kind, Done: now - arrived}
	r.Bytes = r.Done * uint64(g.Request)
	if all := sent - from; all > r.Done {
		r.Errors = all - r.Done
	}
	if err := json.NewEncoder(out).Encode(&Result{Elapsed: elapsed, Groups: []GroupResult{r}}); err != nil {
		return err
	}
	<-ended
	return nil
}

// frames are one of each flow.
func (s *PacketSpec) frames() ([][]byte, error) {
	next, err := net.ParseMAC(s.Next)
	if err != nil {
		return nil, err
	}
	link, err := net.InterfaceByName(s.Out)
	if err != nil {
		return nil, err
	}
	g := &s.Groups[0]
	to, from := s.Target.Addr().As4(), s.From.As4()
	list := make([][]byte, g.Conns)
	for i := range list {
		b := make([]byte, g.Request)
		copy(b, next)
		copy(b[6:], link.HardwareAddr)
		binary.BigEndian.PutUint16(b[12:], etherIPv4)
		ip := b[14:]
		ip[0], ip[8], ip[9] = 0x45, 64, syscall.IPPROTO_UDP
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint32(ip[12:], binary.BigEndian.Uint32(from[:])+uint32(i))
		copy(ip[16:], to[:])
		binary.BigEndian.PutUint16(ip[10:], headerSum(ip[:20]))
		udp := ip[20:]
		binary.BigEndian.PutUint16(udp, uint16(10000+i))
		binary.BigEndian.PutUint16(udp[2:], s.Target.Port())
		binary.BigEndian.PutUint16(udp[4:], uint16(len(udp))) // no checksum: there need be none (RFC 768)
		list[i] = b
	}
	return list, nil
}

// headerSum is the checksum of an IPv4 header (RFC 1071).
func headerSum(h []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum)
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
