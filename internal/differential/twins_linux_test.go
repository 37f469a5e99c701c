package differential

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penlb/pen/internal/control"
)

// twin is one of the two programs, running.
type twin struct {
	t    *testing.T
	name string
	dir  string // where it keeps its files; the word DIR in commands stands for it
	addr string // where it listens
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// start runs bin with args, the listening address and servers, and waits until it answers.
func start(t *testing.T, name, bin string, servers []string, args ...string) *twin {
	t.Helper()
	dir, err := os.MkdirTemp("", "twin")
	if err != nil {
		t.Fatal(err)
	}
	w := &twin{t: t, name: name, dir: dir, addr: freeAddr(t)}
	args = append([]string{"-f", "-C", w.socket(), "-u", "root"}, args...)
	for i := range args {
		args[i] = w.own(args[i])
	}
	w.cmd = exec.Command(bin, append(append(args, w.addr), servers...)...)
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.stop()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var b bytes.Buffer
		if control.Ask(w.socket(), "pid", &b) == nil && b.Len() > 0 {
			return w
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not start: %s", name, w.out.String())
		}
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *twin) socket() string { return filepath.Join(w.dir, "ctl") }

// own puts the twin's own directory and address into a command; common does the reverse for a reply.
func (w *twin) own(s string) string {
	return strings.NewReplacer("DIR", w.dir, "ADDR", w.addr).Replace(s)
}

func (w *twin) common(s string) string {
	if s == fmt.Sprintln(w.cmd.Process.Pid) {
		return "PID\n"
	}
	return strings.NewReplacer(w.dir, "DIR", w.addr, "ADDR").Replace(s)
}

func (w *twin) stop() {
	if w.cmd.ProcessState == nil {
		w.cmd.Process.Signal(syscall.SIGTERM)
		w.cmd.Wait()
	}
}

// ask runs a command and returns the reply.
func (w *twin) ask(command string) string {
	w.t.Helper()
	var b bytes.Buffer
	if err := control.Ask(w.socket(), w.own(command), &b); err != nil {
		w.t.Fatalf("%s: %s: %v; it says: %s", w.name, command, err, w.out.String())
	}
	return w.common(b.String())
}

// visit connects from the address src, sends request, and says which server answered: its name, or "" if the
// connection was closed.
func (w *twin) visit(src, request string) string {
	w.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(src)}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatalf("%s: connect: %v; it says: %s", w.name, err, w.out.String())
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, request)
	r := bufio.NewReader(c)
	name, _ := r.ReadString('\n')
	if name != "" { // the server sends the request back; then all is counted
		io.ReadFull(r, make([]byte, len(request)))
	}
	return strings.TrimSpace(name)
}

// settle waits until no connection is left.
func (w *twin) settle() {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		busy := false
		for line := range strings.Lines(w.ask("servers")) {
			busy = busy || !strings.Contains(line, " conn 0 ")
		}
		if !busy {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s: connections stay: %s", w.name, w.ask("servers"))
		}
	}
}

// file reads a file in the twin's directory.
func (w *twin) file(name string) string {
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if perr := (*os.PathError)(nil); errors.As(err, &perr) {
		return perr.Err.Error() // without the directory
	}
	return w.common(string(b))
}

// server is a backend that sends its name and then everything back.
func server(t *testing.T, name string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, name)
				io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}()
		}
	}()
	return l.Addr().String()
}
