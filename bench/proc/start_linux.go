package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// grace is how long a program may take to end after SIGTERM.
const grace = 2 * time.Second

// Process is a started program. Stop must be called in the end.
type Process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	stdin  io.Closer     // nil: none
	log    tail
	reason error // valid after done
}

// Start runs argv until Stop or the end of ctx, and keeps the end of what it writes to standard error. stdout may be
// nil; then that goes to the same log. With stdin, the program gets a pipe, which is returned and ends with Stop.
// The thread that calls it must outlive the program (PR_SET_PDEATHSIG, prctl(2)).
func Start(ctx context.Context, argv []string, stdout *os.File, stdin bool) (*Process, io.Writer, error) {
	p := &Process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.SysProcAttr = child()
	p.cmd.Cancel = p.terminate
	p.cmd.WaitDelay = grace
	p.cmd.Stderr = &p.log
	p.cmd.Stdout = &p.log
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	var pipe io.WriteCloser
	if stdin {
		var err error
		if pipe, err = p.cmd.StdinPipe(); err != nil {
			return nil, nil, err
		}
		p.stdin = pipe
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	go p.wait()
	return p, pipe, nil
}

func (p *Process) wait() {
	p.reason = p.cmd.Wait()
	close(p.done)
}

// PID of the program itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the program ended and what it complained of last. It waits for that end.
func (p *Process) Err() error {
	<-p.done
	err := p.reason
	if err == nil {
		err = errors.New("ended")
	}
	if last := p.log.last(); last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

func (p *Process) terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// Stop ends the program and its descendants: by the end of its standard input if it has one, else by SIGTERM, and
// after a grace by SIGKILL, each by its pid. It waits until the program is gone.
func (p *Process) Stop() {
	family, _ := Tree(p.PID()) // without a list, the program itself is still stopped
	select {
	case <-p.done:
		return
	default:
	}
	if p.stdin != nil {
		p.stdin.Close()
	} else {
		_ = p.terminate() // it may have ended just now
	}
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		for _, pid := range family[min(1, len(family)):] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-p.done
	}
}

// tail keeps the last bytes that were written to it.
type tail struct{ b []byte }

const tailBytes = 2048

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

// last returns the last lines, joined.
func (t *tail) last() string {
	lines := strings.Split(string(bytes.TrimSpace(t.b)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}
