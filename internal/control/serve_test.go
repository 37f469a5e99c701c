package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penlb/pen/internal/settings"
)

const long = 30 * time.Second // a deadline that only a hanging test meets

// start serves e on a TCP port or a Unix socket, with waits that suit tests, and stops at the end of the test.
func start(t *testing.T, e *Env, network string, adjust func(*server)) net.Addr {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "ctl")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(e)
	s.patience, s.pause, s.drain = long, long, long
	if adjust != nil {
		adjust(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l.Addr()
}

func connect(t *testing.T, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(long))
	return c
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// reply reads to the end of the stream and closes.
func reply(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read reply: %v", err)
	}
	c.Close()
	return string(b)
}

// ask is one command with its newline.
func ask(t *testing.T, a net.Addr, command string) string {
	t.Helper()
	c := connect(t, a)
	send(t, c, command+"\n")
	return reply(t, c)
}

func TestServe(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("x", MaxLine)
	cut := "do_cmd: ignoring command starting with '" + x + "'\n"
	for _, network := range []string{"tcp", "unix"} {
		e, _, _ := newEnv(t)
		a := start(t, e, network, nil)
		for in, want := range map[string]string{
			"blacklist\n":                     "30\n",
			"blacklist\r":                     "30\n",
			"blacklist\r\n":                   "30\n",
			"\n":                              "",
			"\x00\n":                          "",
			"timeout\ntracking 9\ndebug 99\n": "3\n",
			"exit\n":                          "Exit is not enabled; restart with -X flag\n",
			x + "\n":                          cut,
			x + "y\n":                         cut,
			x + strings.Repeat("y", 200_000):  cut,
		} {
			c := connect(t, a)
			send(t, c, in)
			if got := reply(t, c); got != want {
				t.Errorf("%s: %.30q: reply %.60q, want %.60q", network, in, got, want)
			}
		}
		if s := e.Settings.Get(); s.Tracking != 0 || s.Debug != 0 {
			t.Error("a second line was executed")
		}
	}
}

func TestServeTwoPieces(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	s := newServer(e)
	down, up := net.Pipe()
	defer down.Close()
	go func() { // net.Pipe writes return when they have been read: the pieces cannot merge
		io.WriteString(down, "black")
		io.WriteString(down, "list 77\nrest")
	}()
	line, err := s.readLine(up)
	up.Close()
	if err != nil || line != "blacklist 77\nrest" {
		t.Errorf("line %q, error %v", line, err)
	}
}

func TestServeWithoutNewline(t *testing.T) {
	t.Parallel()
	t.Run("end of stream", func(t *testing.T) {
		t.Parallel()
		e, _, _ := newEnv(t)
		c := connect(t, start(t, e, "tcp", nil))
		send(t, c, "blacklist")
		c.(*net.TCPConn).CloseWrite()
		if got := reply(t, c); got != "30\n" {
			t.Errorf("reply %q", got)
		}
	})
	t.Run("pause", func(t *testing.T) {
		t.Parallel()
		e, _, _ := newEnv(t)
		c := connect(t, start(t, e, "tcp", func(s *server) { s.pause = 10 * time.Millisecond }))
		send(t, c, "blacklist")
		if got := reply(t, c); got != "30\n" {
			t.Errorf("reply %q", got)
		}
	})
}

func TestServeSilence(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	a := start(t, e, "unix", func(s *server) { s.patience = 10 * time.Millisecond })
	c := connect(t, a)
	if got := reply(t, c); got != "" {
		t.Errorf("reply %q to nothing", got)
	}
}

// TestServeReset breaks connections off in the middle of a command, which must not be executed.
func TestServeReset(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	a := start(t, e, "tcp", nil)
	for range 20 {
		c := connect(t, a).(*net.TCPConn)
		send(t, c, "blacklist 7")
		c.SetLinger(0)
		c.Close()
	}
	if got := ask(t, a, "timeout"); got != "3\n" {
		t.Errorf("reply %q", got)
	}
	s := newServer(e)
	down, up := net.Pipe()
	up.Close()
	if _, err := s.readLine(up); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken connection reads as %v", err)
	}
	down.Close()
}

// TestServeEvictsTheOldest fills all places with silent clients; a real one is served at the cost of the first.
func TestServeEvictsTheOldest(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	a := start(t, e, "unix", nil)
	var silent []net.Conn
	for range newServer(e).maxClients {
		silent = append(silent, connect(t, a))
	}
	if got := ask(t, a, "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
	if got := reply(t, silent[0]); got != "" {
		t.Errorf("the oldest got %q", got)
	}
	send(t, silent[1], "timeout\n")
	if got := reply(t, silent[1]); got != "3\n" {
		t.Errorf("the second got %q", got)
	}
}

// TestServeWaitsForBusyClients has a command under way in every place; the next client waits for its turn.
func TestServeWaitsForBusyClients(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	r.beforeSync = func() {
		entered <- struct{}{}
		<-leave
	}
	a := start(t, e, "unix", func(s *server) { s.maxClients = 1 })
	busy := connect(t, a)
	send(t, busy, "recent\n")
	<-entered
	next := connect(t, a)
	send(t, next, "blacklist\n")
	leave <- struct{}{}
	if got := reply(t, next); got != "30\n" {
		t.Errorf("reply %q", got)
	}
}

// TestServeFlood has far more clients at once than places, every second one silent. Who speaks gets its answer, or is
// pushed out by others; afterwards all is as before.
func TestServeFlood(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	a := start(t, e, "tcp", func(s *server) { s.maxClients, s.patience = 8, 50*time.Millisecond })
	replies := make(chan string)
	for i := range 100 {
		go func() {
			c, err := net.Dial(a.Network(), a.String())
			if err != nil {
				replies <- err.Error()
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(long))
			if i%2 == 0 {
				io.WriteString(c, "mode\n")
			}
			b, _ := io.ReadAll(c)
			replies <- string(b)
		}()
	}
	for range 100 {
		if got := <-replies; got != "" && !strings.HasPrefix(got, "no hash ") {
			t.Errorf("reply %q", got)
		}
	}
	if got := ask(t, a, "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
}

func TestServeControlACL(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	do(e, "acl 3 deny 127.0.0.1", "control_acl 3")
	unix, tcp := start(t, e, "unix", nil), start(t, e, "tcp", nil)
	if got := ask(t, unix, "blacklist"); got != "30\n" {
		t.Errorf("a Unix client got %q", got)
	}
	c := connect(t, tcp)
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("a denied client got %q", b)
	}
	do(e, "no acl 3")
	if got := ask(t, tcp, "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
}

// TestServeSlowReader has a client that does not take a long reply; it is given up, and disturbs nobody.
func TestServeSlowReader(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	r.page = strings.Repeat("x", 32<<20)
	do(e, "web_stats /w")
	var s *server
	a := start(t, e, "tcp", func(started *server) {
		s = started
		s.patience = 50 * time.Millisecond
	})
	slow := connect(t, a)
	send(t, slow, "status\n")
	if got := ask(t, a, "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
	s.mu.Lock()
	for len(s.open) > 0 {
		s.changed.Wait()
	}
	s.mu.Unlock()
	if n, _ := io.Copy(io.Discard, slow); n == 0 || n >= int64(len(r.page)) {
		t.Errorf("the slow client got %d bytes of %d", n, len(r.page))
	}
}

func TestServeLongReply(t *testing.T) {
	t.Parallel()
	e, r, _ := newEnv(t)
	r.page = strings.Repeat("0123456789", 1<<20)
	do(e, "web_stats /w")
	if got := ask(t, start(t, e, "tcp", nil), "status"); got != r.page {
		t.Errorf("%d bytes of %d", len(got), len(r.page))
	}
}

// TestServeStop ends with clients in every stage; start's cleanup hangs if one of them is waited for.
func TestServeStop(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		e.Serve(ctx, l)
	}()
	silent, partial := connect(t, l.Addr()), connect(t, l.Addr())
	send(t, partial, "blacklist 7")
	if got := ask(t, l.Addr(), "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
	cancel()
	<-served
	for _, c := range []net.Conn{silent, partial} {
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("reply %q", b)
		}
	}
	if d := e.Settings.Get().Rules.Blacklist; d != 30*time.Second {
		t.Errorf("half a command was executed: blacklist is %v", d)
	}
}

// failing is a listener without descriptors to spare, for a while.
type failing struct {
	net.Listener
	left int
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, errFake
	}
	return l.Listener.Accept()
}

func TestServeSurvivesAcceptErrors(t *testing.T) {
	t.Parallel()
	e, _, log := newEnv(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		e.Serve(ctx, &failing{inner, 3})
	}()
	if got := ask(t, inner.Addr(), "blacklist"); got != "30\n" {
		t.Errorf("reply %q", got)
	}
	cancel()
	<-served
	if n := strings.Count(log.String(), "control: accept: it is broken\n"); n != 3 {
		t.Errorf("%d errors logged: %s", n, log)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	e.Settings.Update(func(s *settings.Settings) { s.Debug = 5 })
	tcp, unix := start(t, e, "tcp", nil).String(), start(t, e, "unix", nil).String()
	host, port, _ := net.SplitHostPort(tcp)
	tests := []struct {
		address, command, want, err string
	}{
		{tcp, "debug", "5\n", ""},
		{unix, "debug", "5\n", ""},
		{"[" + host + "]:" + port, "debug", "5\n", ""},
		{"nocolon", "mode", "", "no port given"},
		{"/no/such/socket", "mode", "", "error connecting to server"},
		{"127.0.0.1:99999", "mode", "", "error connecting to server"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		err := Ask(tt.address, tt.command, &out)
		if text := errText(err); text != tt.err || out.String() != tt.want {
			t.Errorf("%s %.20s: %q, error %q; want %q, error %q", tt.address, tt.command, out.String(), text, tt.want, tt.err)
		}
	}
}

func TestAskJSON(t *testing.T) {
	t.Parallel()
	e, _, _ := newEnv(t)
	a := start(t, e, "unix", nil)
	old, err := net.Listen("unix", filepath.Join(t.TempDir(), "old"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	served := make(chan struct{})
	go func() { // a pen that knows no JSON, then one that says nothing
		defer close(served)
		for _, reply := range []string{"do_cmd: ignoring command starting with 'json'\n", ""} {
			c, err := old.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, reply)
			c.Close()
		}
	}()
	tests := []struct {
		address, command, want, err string
	}{
		{a.String(), "debug", `{"debug":0}` + "\n", ""},
		{a.String(), "frob", "", "frob: unknown command; `help` lists those there are"},
		{a.String(), "server 0 port x\"", "", `server: port x" is not a number: want 0 to 65535`},
		{"/no/such/socket", "mode", "", "error connecting to server"},
		{old.Addr().String(), "mode", "",
			`the reply is not JSON, perhaps the server is too old: "do_cmd: ignoring command starting with 'json'\n"`},
		{old.Addr().String(), "mode", "", "no reply: is this address permitted by control_acl?"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		err := AskJSON(tt.address, tt.command, &out)
		if text := errText(err); text != tt.err || out.String() != tt.want {
			t.Errorf("%s: %q, error %q; want %q, error %q", tt.command, out.String(), text, tt.want, tt.err)
		}
	}
	<-served
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
