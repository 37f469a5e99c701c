package stats

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var at = time.Date(2026, 11, 20, 11, 17, 46, 0, time.UTC)

func busy() *Snapshot {
	return &Snapshot{
		Time: at, Current: 1,
		Servers: []Server{
			{Index: 0, Addr: "127.0.0.1", StatusUnix: 1795173446, Port: 7},
			{Index: 1, Addr: "2001:db8::1", Port: 8132, Conn: 2, Max: 3, Hard: 4, Sent: 12, Received: 6, Weight: 5, Prio: 6},
			{Index: 2},
		},
		ClientsMax: 2048,
		Clients: []Client{
			{Index: 0, Addr: "192.0.2.8", Age: 2999 * time.Millisecond, LastServer: 1, Connects: 2, Sent: 6, Received: 12},
			{Index: 3, LastServer: -1, Connects: 1},
		},
		ConnMax: 500, ConnUsed: 2, ConnLast: 1,
		Conns: []Conn{
			{Index: 0, DownFD: 8, UpFD: 9, Client: 0, Server: 1},
			{Index: 1, DownFD: 11, UpFD: -1, PendingDown: 100, PendingUp: 7, Client: 0, Server: 1},
		},
	}
}

func direct() *Snapshot {
	return &Snapshot{Time: at, Servers: []Server{{Addr: "10.0.0.3", Port: 80, Conn: 3, Sent: 180}},
		Direct: &Direct{
			Servers: []DirectServer{{Addr: "10.0.0.3", MAC: "02:00:00:00:00:01", State: "alive", Packets: 3, Bytes: 180},
				{Addr: "10.8.0.3", MAC: "02:00:00:00:00:02", State: "leaving", Via: "10.0.0.1", MTU: 1480}},
			VIPs:     []DirectVIP{{"10.0.0.100:80/tcp", 3, 180}, {"fd00::100/udp", 0, 0}},
			Drops:    []DirectDrop{{"denied", 2}},
			Answered: 4, Lost: 5, Reopened: 6,
		}}
}

func TestPacketsTo(t *testing.T) {
	t.Parallel()
	d := &Direct{Packets: []uint64{7}}
	if a, b := d.PacketsTo(0), d.PacketsTo(1); a != 7 || b != 0 {
		t.Errorf("%d and %d packets", a, b)
	}
}

func hostile() *Snapshot {
	return &Snapshot{
		Time: at,
		Servers: []Server{{Addr: "/run/<script>alert('x')</script>&\"\nTime 0\x7f", StatusUnix: math.MinInt64,
			Sent: math.MaxUint64, Received: math.MaxUint64, Conn: math.MinInt, Port: -1}},
		Clients: []Client{{Addr: "</td>", Age: -time.Hour, LastServer: -3}},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file  string
		write func(*Snapshot, *bytes.Buffer) error
		s     *Snapshot
	}{
		{"busy.html", writeHTML, busy()},
		{"busy.txt", writeText, busy()},
		{"empty.html", writeHTML, &Snapshot{Time: at}},
		{"empty.txt", writeText, &Snapshot{Time: at}},
		{"direct.html", writeHTML, direct()},
		{"hostile.html", writeHTML, hostile()},
		{"hostile.txt", writeText, hostile()},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := tt.write(tt.s, &got); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.file, got.Bytes())
		})
	}
}

func writeHTML(s *Snapshot, b *bytes.Buffer) error { return s.WriteHTML(b) }
func writeText(s *Snapshot, b *bytes.Buffer) error { return s.WriteText(b) }

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// messages collects what each Write was given.
type messages []string

func (m *messages) Write(b []byte) (int, error) {
	*m = append(*m, string(b))
	return len(b), nil
}

func TestTextIsOneWritePerMessage(t *testing.T) {
	t.Parallel()
	var m messages
	if err := busy().WriteText(&m); err != nil {
		t.Fatal(err)
	}
	if len(m) != 12 {
		t.Fatalf("%d messages, want 12: %q", len(m), m)
	}
	for _, s := range m {
		if first := strings.Fields(s)[0]; !strings.Contains("Time Server Max Active Client Connection", first) {
			t.Errorf("message begins with %q", first)
		}
		if !strings.HasSuffix(s, "\n") {
			t.Errorf("no newline after %q", s)
		}
	}
}

var errFull = errors.New("full")

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestErrorsOfTheWriterAreReturned(t *testing.T) {
	t.Parallel()
	for room := range 3 {
		if err := busy().WriteHTML(&full{room * 100}); !errors.Is(err, errFull) {
			t.Errorf("WriteHTML with room %d: %v", room*100, err)
		}
		if err := busy().WriteText(&full{room * 100}); !errors.Is(err, errFull) {
			t.Errorf("WriteText with room %d: %v", room*100, err)
		}
	}
}

func TestLargePage(t *testing.T) {
	t.Parallel()
	s := Snapshot{Time: at, Conns: make([]Conn, 10000)}
	for i := range s.Conns {
		s.Conns[i].Index = i
	}
	var b bytes.Buffer
	if err := s.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<tr>\n"); n != 3+len(s.Conns) {
		t.Errorf("%d rows, want %d", n, 3+len(s.Conns))
	}
	if !strings.Contains(b.String(), "<tr>\n<td>9999</td>\n<td>0</td>\n") {
		t.Error("the last connection is missing or torn")
	}
}
