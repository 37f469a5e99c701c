package run

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/penlb/pen/bench/load"
	"github.com/penlb/pen/bench/proc"
)

// worker is a child of ours that talks on its standard output.
type worker struct {
	*proc.Process
	stdin io.Writer
	out   *os.File
	lines *bufio.Reader
}

func (r *runner) startWorker(ctx context.Context, args ...string) (*worker, error) {
	return r.startCommand(ctx, r.worker(r.LoadCPU, args...))
}

// startCommand starts a worker by its command line.
func (r *runner) startCommand(ctx context.Context, argv []string) (*worker, error) {
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, stdin, err := proc.Start(ctx, argv, childOut, true)
	childOut.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	return &worker{Process: p, stdin: stdin, out: out, lines: bufio.NewReader(out)}, nil
}

func (w *worker) stop() {
	w.Stop()
	w.out.Close()
}

// line reads one line. Instead of the end of the output it returns why the worker ended.
func (w *worker) line(limit time.Duration) (string, error) {
	if err := w.out.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	s, err := w.lines.ReadString('\n')
	switch {
	case err == io.EOF:
		return "", w.Err()
	case err != nil:
		return "", err
	}
	return strings.TrimSuffix(s, "\n"), nil
}

// expect reads the line word.
func (w *worker) expect(word string, limit time.Duration) error {
	s, err := w.line(limit)
	if err != nil {
		return fmt.Errorf("client, waiting for %q: %w", word, err)
	}
	if s != word {
		return fmt.Errorf("client: said %q instead of %q", s, word)
	}
	return nil
}

// backend starts the backend and returns where it listens.
func (r *runner) backend(ctx context.Context) (*worker, netip.AddrPort, error) {
	listen, err := r.listenAddress()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return r.startBackend(ctx, r.worker(r.LoadCPU, "backend", listen.String()))
}

// startBackend starts one by its command line.
func (r *runner) startBackend(ctx context.Context, argv []string) (*worker, netip.AddrPort, error) {
	w, err := r.startCommand(ctx, argv)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	s, err := w.line(replyLimit)
	if err != nil {
		w.stop()
		return nil, netip.AddrPort{}, err
	}
	address, err := netip.ParseAddrPort(s)
	if err != nil {
		w.stop()
	}
	return w, address, err
}

// client starts a client; it says load.Ready when its connections are open.
func (r *runner) client(ctx context.Context, spec *load.Spec) (*worker, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return r.startWorker(ctx, "client", string(b))
}

// start begins the window.
func (w *worker) start() error {
	if _, err := w.stdin.Write([]byte("g")); err != nil {
		return err
	}
	return w.expect(load.Started, replyLimit)
}

func (w *worker) result() (*load.Result, error) {
	s, err := w.line(replyLimit)
	if err != nil {
		return nil, fmt.Errorf("client, waiting for its result: %w", err)
	}
	result := new(load.Result)
	if err := json.Unmarshal([]byte(s), result); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return result, nil
}
